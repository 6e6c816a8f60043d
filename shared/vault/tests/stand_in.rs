//! Against the stand-in for KMS and Secrets Manager.

use std::time::Duration;

use domain::{KeyError, KeyRing as _, TenantId};
use uuid::Uuid;
use vault::{FieldKeys, Secrets, ensure_key, secret_id};

/// The stand-in's configuration; `None` at home without one.
async fn stand_in() -> Option<aws_config::SdkConfig> {
    if std::env::var_os("AWS_ENDPOINT_URL").is_none() {
        assert!(std::env::var_os("CI").is_none(), "CI must bring up the stand-in for AWS");
        eprintln!("skipped: AWS_ENDPOINT_URL is not set");
        return None;
    }
    Some(boot::aws_config().await)
}

fn tenant() -> TenantId {
    TenantId::from_uuid(Uuid::now_v7())
}

#[tokio::test]
async fn a_tenants_key_survives_a_restart_and_serves_no_other_tenant() {
    let Some(aws) = stand_in().await else { return };
    let kms = aws_sdk_kms::Client::new(&aws);
    ensure_key(&kms, "alias/sb-test").await.unwrap();
    let ours = tenant();

    let before = FieldKeys::new(kms.clone(), "alias/sb-test");
    let wrapped = before.generate(ours).await.unwrap();
    let sealed = before.cipher(ours, &wrapped).await.unwrap().seal("users.name", "Ada").unwrap();

    let after = FieldKeys::new(kms, "alias/sb-test");
    let cipher = after.cipher(ours, &wrapped).await.unwrap();
    assert_eq!(cipher.open("users.name", &sealed).unwrap().reveal(), "Ada");

    let refused = after.cipher(tenant(), &wrapped).await.err();
    assert!(matches!(refused, Some(KeyError::Refused(_))), "{refused:?}");
}

#[tokio::test]
async fn a_rotated_secret_is_followed_and_the_old_value_accepted_for_a_while() {
    let Some(aws) = stand_in().await else { return };
    let client = aws_sdk_secretsmanager::Client::new(&aws);
    let prefix = format!("sb-test-{}", Uuid::now_v7());
    let id = secret_id(&prefix, "TWILIO_AUTH_TOKEN");
    client.create_secret().name(&id).secret_string("old").send().await.unwrap();

    let secrets = Secrets::new(|_| None, client.clone(), &prefix);
    let token = secrets.get("TWILIO_AUTH_TOKEN").await.unwrap();
    assert_eq!(token.current().reveal(), "old");

    client.put_secret_value().secret_id(&id).secret_string("new").send().await.unwrap();
    let fresh = tokio::spawn(secrets.clone().keep_fresh(Duration::from_millis(10)));
    while token.current().reveal() == "old" {
        tokio::task::yield_now().await;
    }
    fresh.abort();
    let accepted = |s: &vault::RotatingSecret| {
        s.accepted().iter().map(|s| s.reveal().to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(accepted(&token), ["new", "old"]);

    let restarted = Secrets::new(|_| None, client, &prefix);
    let token = restarted.get("TWILIO_AUTH_TOKEN").await.unwrap();
    assert_eq!(accepted(&token), ["new", "old"], "a task started after the rotation");
}

#[tokio::test]
async fn the_environment_wins_and_a_missing_secret_is_named() {
    let Some(aws) = stand_in().await else { return };
    let client = aws_sdk_secretsmanager::Client::new(&aws);
    let prefix = format!("sb-test-{}", Uuid::now_v7());
    let given = |name: &str| (name == "REDIS_URL").then(|| "redis://here".to_owned());
    let secrets = Secrets::new(given, client, &prefix);

    let url = secrets.get("REDIS_URL").await.unwrap();
    assert_eq!(url.current().reveal(), "redis://here");
    assert!(secrets.find("OPENAI_API_KEY").await.unwrap().is_none());
    let missing = secrets.get("OPENAI_API_KEY").await.unwrap_err().to_string();
    assert!(missing.contains("OPENAI_API_KEY") && missing.contains(&prefix), "{missing}");
}
