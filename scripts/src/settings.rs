//! What the mesh tells its services: the variables of DESIGN section 9, each of which the caller may override.

use std::net::SocketAddr;

use uuid::Uuid;

use crate::demo_key;
use crate::provision::CREDENTIALS;
use crate::stores::Environment;

/// How the services reach one vendor of the outside world, and where the simulator plays it.
struct Vendor {
    /// Made up for each run, so that nothing can come to rely on a fixed one.
    credentials: &'static [&'static str],
    base_url: &'static str,
    simulator_path: &'static str,
}

const VENDORS: [Vendor; 4] = [
    Vendor {
        credentials: &["TWILIO_AUTH_TOKEN"],
        base_url: "TWILIO_API_BASE_URL",
        simulator_path: "/twilio",
    },
    Vendor {
        credentials: &["WHATSAPP_ACCESS_TOKEN", "WHATSAPP_APP_SECRET", "WHATSAPP_VERIFY_TOKEN"],
        base_url: "WHATSAPP_API_BASE_URL",
        simulator_path: "/graph",
    },
    Vendor {
        credentials: &["DEEPGRAM_API_KEY"],
        base_url: "DEEPGRAM_BASE_URL",
        simulator_path: "/deepgram",
    },
    Vendor {
        credentials: &["OPENAI_API_KEY"],
        base_url: "OPENAI_BASE_URL",
        simulator_path: "/openai/v1",
    },
];

/// The environment of every service of one mesh, `given` winning over the mesh's own values.
///
/// A vendor whose credentials are given but whose base URL is not is the real one: the simulator must not see its keys.
pub(crate) fn environment(
    given: &Environment,
    stores: &Environment,
    edge: SocketAddr,
    simulator: SocketAddr,
) -> Environment {
    let is_given = |name: &str| given.get(name).is_some_and(|value| !value.is_empty());
    let mut own: Vec<(&str, String)> = vec![
        ("SB_ENV", "development".to_owned()),
        ("SB_EDGE_LISTEN", edge.to_string()),
        ("SB_PUBLIC_BASE_URL", format!("http://127.0.0.1:{}", edge.port())),
        ("SB_QUEUE_PREFIX", "sb-dev".to_owned()),
        ("SB_SECRETS_PREFIX", "sb-dev".to_owned()),
        ("SB_S3_BUCKET", "switchboard-dev".to_owned()),
        ("SB_KMS_KEY", "alias/switchboard".to_owned()),
        ("SB_SIM_LISTEN", simulator.to_string()),
        // The simulator signs for the public address and connects to this one.
        ("SB_SIM_EDGE_URL", format!("http://127.0.0.1:{}", edge.port())),
        // Whoever stops a mesh on his own machine does not wait for a talk to end.
        ("SB_CALL_DRAIN_SECONDS", "10".to_owned()),
        // A stopping task waits for its last receive; the stand-ins do not bill for asking often.
        ("SB_LONG_POLL_SECONDS", "2".to_owned()),
        // Its servers announce each worker.
        ("SB_LOG", "info,actix_server=warn".to_owned()),
        // Behind the supervisor the services do not see the terminal.
        ("SB_LOG_FORMAT", "text".to_owned()),
        ("SB_STT", "deepgram".to_owned()),
        ("SB_TTS", "deepgram".to_owned()),
        // The rules engine needs no model. Whoever brings a key for one wants it used.
        ("SB_LLM", if is_given("OPENAI_API_KEY") { "openai,rules" } else { "rules" }.to_owned()),
        (demo_key::VARIABLE, demo_key::made_up()),
        ("TWILIO_ACCOUNT_SID", format!("AC{}", made_up())),
    ];
    for vendor in &VENDORS {
        let real = vendor.credentials.iter().any(|name| is_given(name));
        for name in vendor.credentials {
            own.push((name, made_up()));
        }
        if !real {
            own.push((vendor.base_url, format!("http://{simulator}{}", vendor.simulator_path)));
        }
    }

    own.push(("SB_WEATHER_BASE_URL", format!("http://{simulator}/weather")));
    own.push(("SB_GEOCODING_BASE_URL", format!("http://{simulator}/weather")));
    // Amazon's speech, models and post, which no stand-in has, where Amazon is a stand-in.
    if stores.contains_key("AWS_ENDPOINT_URL") {
        own.push(("AWS_ENDPOINT_URL_POLLY", format!("http://{simulator}/polly")));
        own.push(("AWS_ENDPOINT_URL_SESV2", format!("http://{simulator}/ses")));
        let transcribe = format!("http://{simulator}/transcribe");
        own.push(("AWS_ENDPOINT_URL_TRANSCRIBE_STREAMING", transcribe));
        own.push(("AWS_ENDPOINT_URL_BEDROCK_RUNTIME", format!("http://{simulator}/bedrock")));
    }

    let mut environment = stores.clone();
    environment.extend(own.into_iter().map(|(name, value)| (name.to_owned(), value)));
    let overriding = given.iter().filter(|(name, value)| is_ours(name) && !value.is_empty());
    environment.extend(overriding.map(|(name, value)| (name.clone(), value.clone())));
    environment
}

/// What of [`environment`] the services are told. Credentials they find in Secrets Manager, as on AWS, but for those the
/// caller gave: these win wherever a service looks first.
pub(crate) fn of_services(environment: &Environment, given: &Environment) -> Environment {
    let mut environment = environment.clone();
    environment.retain(|name, _| {
        let secret = CREDENTIALS.contains(&name.as_str()) && !given.contains_key(name);
        !secret && name != demo_key::VARIABLE
    });
    environment
}

/// True for a variable the services read; the rest of an environment they inherit as it is.
fn is_ours(name: &str) -> bool {
    const PREFIXES: [&str; 9] = [
        "SB_",
        "AWS_",
        "TWILIO_",
        "WHATSAPP_",
        "DEEPGRAM_",
        "OPENAI_",
        "BEDROCK_",
        "SONIC_",
        "OTEL_",
    ];
    matches!(name, "DATABASE_URL" | "REDIS_URL")
        || PREFIXES.iter().any(|prefix| name.starts_with(prefix))
}

fn made_up() -> String {
    Uuid::new_v4().simple().to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn build(given: &[(&str, &str)]) -> Environment {
        let given =
            given.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        let stores = Environment::from([("DATABASE_URL".to_owned(), "postgres://own".to_owned())]);
        environment(&given, &stores, ([127, 0, 0, 1], 8000).into(), ([127, 0, 0, 1], 4700).into())
    }

    #[test]
    fn what_the_caller_set_wins_over_every_value_of_the_mesh() {
        let own = build(&[]);
        let given: Vec<(&str, &str)> = own.keys().map(|name| (name.as_str(), "theirs")).collect();
        assert!(build(&given).values().all(|value| value == "theirs"));
    }

    #[test]
    fn a_real_key_never_goes_to_the_simulator() {
        let environment = build(&[("OPENAI_API_KEY", "sk-real")]);
        assert_eq!(environment.get("OPENAI_BASE_URL"), None);
        assert!(environment["DEEPGRAM_BASE_URL"].starts_with("http://127.0.0.1:4700/"));
    }

    #[test]
    fn a_real_key_with_its_own_address_goes_there() {
        let environment =
            build(&[("OPENAI_API_KEY", "k"), ("OPENAI_BASE_URL", "http://localhost:1/v1")]);
        assert_eq!(environment["OPENAI_BASE_URL"], "http://localhost:1/v1");
    }

    #[test]
    fn services_are_told_no_credential_but_what_the_caller_gave() {
        let given = Environment::from([("OPENAI_API_KEY".to_owned(), "sk-real".to_owned())]);
        let told = of_services(&build(&[("OPENAI_API_KEY", "sk-real")]), &given);
        let credentials: Vec<_> =
            told.keys().filter(|name| CREDENTIALS.contains(&name.as_str())).collect();
        assert_eq!(credentials, ["OPENAI_API_KEY"]);
    }

    #[test]
    fn made_up_keys_differ_from_run_to_run() {
        assert_ne!(build(&[])["TWILIO_AUTH_TOKEN"], build(&[])["TWILIO_AUTH_TOKEN"]);
    }
}
