//! A model that says how sure the agents are (C2), and turns in which it does not.

use serde_json::{Value, json};

use super::{
    desk::{GREETING, Outbox, Talk, World, openai, rules},
    model_server::{ModelServer, Step},
    tools::clinic_with,
};

type Answers = Result<Vec<Step>, (u16, &'static str)>;

const ASKS: &str = "they ask for what it does";
const NOT: &str = "it is not meant";

fn scores(greeting: f64, appointments: f64) -> String {
    let score = |confidence: f64| {
        let reason = if confidence > 0.5 { ASKS } else { NOT };
        json!({"confidence": confidence, "reason": reason})
    };
    json!({
        "classifier": {"intent": "appointment", "confidence": 0.8},
        "greeting": score(greeting),
        "appointments": score(appointments),
        "information": score(0.0),
    })
    .to_string()
}

fn classifies(body: &Value) -> bool {
    body.get("response_format").is_some()
}

/// A clinic whose agents a model scores, as `scored` says.
async fn clinic(
    scored: impl Fn() -> Answers + Send + Sync + 'static,
) -> Option<(World, ModelServer)> {
    let server = ModelServer::start(move |_, body| match classifies(body) {
        true => scored(),
        false => Ok(vec![Step::Text("At your service.".into()), Step::Done]),
    })
    .await;
    let world = clinic_with(vec![openai(&server), rules()]).await?;
    let sql = format!(
        "UPDATE tenants SET settings = settings || '{{\"selection\": {{\"scored_by\": \"openai\"}}}}'
         WHERE id = '{}'",
        world.tenant
    );
    world.db.owner().await.batch_execute(&sql).await.unwrap();
    world.shell.tenants.refresh().await.unwrap();
    Some((world, server))
}

async fn account(call: &Talk<'_>, words: &str) -> domain::TurnAccount {
    let out = Outbox::default();
    call.handle(&out, &call.says(1, words, Some(GREETING))).await.unwrap();
    assert_eq!(out.texts(), ["At your service."]);
    out.replies()[0].1.account.clone()
}

#[tokio::test]
async fn one_request_scores_all_agents_and_its_reasons_are_kept() {
    let scored = || Ok(vec![Step::Text(scores(0.1, 0.9)), Step::Done]);
    let Some((world, model)) = clinic(scored).await else { return };
    let call = world.call().await;
    let account = account(&call, "my tooth is killing me").await;
    assert_eq!((account.agent.as_str(), account.confidence), ("appointments", 0.9));
    assert_eq!(
        account.reason,
        "highest of 3 at 0.90; scored by test-model: intent appointment 0.80, appointments 0.90 (they ask for what it \
         does), greeting 0.10 (it is not meant), information 0.00 (it is not meant)"
    );
    let requests = model.requests();
    let scoring: Vec<&Value> = requests.iter().filter(|body| classifies(body)).collect();
    assert_eq!((scoring.len(), requests.len()), (1, 2));
    let asked = &scoring[0]["response_format"]["json_schema"]["schema"]["required"];
    assert_eq!(*asked, json!(["classifier", "greeting", "appointments", "information"]));
    let last = scoring[0]["messages"].as_array().unwrap().last().unwrap();
    assert_eq!(
        (&last["role"], &last["content"]),
        (&json!("user"), &json!("my tooth is killing me"))
    );
    assert_eq!(account.tokens_in, 18, "the scoring is paid for as well");
}

#[tokio::test]
async fn a_turn_that_is_run_again_is_not_scored_again() {
    let scored = || Ok(vec![Step::Text(scores(0.1, 0.9)), Step::Done]);
    let Some((world, model)) = clinic(scored).await else { return };
    let call = world.call().await;
    let words = call.says(1, "my tooth is killing me", Some(GREETING));
    let first = Outbox::deadly(0, true);
    first.kill(call.handle(&first, &words)).await;
    let second = Outbox::default();
    call.handle(&second, &words).await.unwrap();
    assert_eq!(second.replies()[0].1.account.agent, "appointments");
    let scorings = model.requests().iter().filter(|body| classifies(body)).count();
    assert_eq!(scorings, 1);
}

#[tokio::test]
async fn a_model_that_does_not_score_leaves_it_to_the_rules_in_the_same_turn() {
    type Scored = fn() -> Answers;
    let failing: [(&str, Scored); 6] = [
        ("was late", || Ok(vec![Step::Stall])),
        ("failed", || Err((500, "gone"))),
        ("failed", || Ok(vec![Step::Text("{\"greeting\":".into())])),
        ("answered out of form", || Ok(vec![Step::Text("The second.".into()), Step::Done])),
        ("answered out of form", || Ok(vec![Step::Text(scores(0.1, 1.5)), Step::Done])),
        ("answered out of form", || {
            let half = json!({"greeting": {"confidence": 1.0, "reason": ASKS}});
            Ok(vec![Step::Text(half.to_string()), Step::Done])
        }),
    ];
    for (why, scored) in failing {
        let Some((world, _model)) = clinic(scored).await else { return };
        let call = world.call().await;
        let account = account(&call, "I need an appointment").await;
        assert_eq!(account.agent, "appointments", "as the rules have it");
        let expected = format!(
            "highest of 3 at 0.90; intent appointment 0.90; by the rules, for openai {why}"
        );
        assert_eq!(account.reason, expected);
    }
}
