//! Any task may die at any moment: the person hears one coherent answer, once, and the history is
//! whole. Proved on both stand-ins with a model that never answers twice alike.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on says so by panicking")]

use std::{path::Path, time::Duration};

use boot::Environment;
use domain::{CallSid, ConversationId};
use scripts::{
    history::History,
    log::{Echo, Log},
    mesh::{Mesh, Options},
    outside::Outside,
    stores::{Broker, Environment as Variables},
};
use serde_json::json;
use simulator::{
    caller::{CallOptions, CallReport, CallScript},
    meta::Chat,
};
use store::{
    messages::{Line, Speaker},
    seed::DEMO,
};

const OUR_NUMBER: &str = "+15550100001";
const OUR_WHATSAPP: &str = "106540352242922";
const CALLER: &str = "+15557770101";
const WRITER: &str = "15557770102";
/// What the caller hears while the mesh is slow; it belongs to no answer.
const FILLER: &str = "One moment, please.";
/// Longer than the silence between the filler and an answer that comes in time.
const QUIET_MS: u64 = 5_000;
const CHAT_ANSWER_LIMIT: Duration = Duration::from_secs(30);
const FIRED_LIMIT: Duration = Duration::from_secs(20);

/// What happens in one turn.
#[derive(Debug, Clone, Copy)]
enum Blow {
    /// The first task of a service to come to the point dies there.
    At(&'static str),
    /// `kill -9` of this task when the caller has spoken.
    Kill(&'static str),
}

const BLOWS_TO_A_CALL: &[Blow] = &[
    Blow::At("voice.bus.received"),
    Blow::At("voice.transcribed"),
    Blow::At("voice.transcribe-sent"),
    Blow::At("voice.spoken"),
    Blow::At("voice.speak-sent"),
    Blow::At("voice.bus.before-delete"),
    Blow::At("orchestrator.received"),
    Blow::At("orchestrator.answered"),
    Blow::At("orchestrator.ledgered"),
    Blow::At("orchestrator.sentence-sent"),
    Blow::At("orchestrator.message-sent"),
    Blow::At("orchestrator.context-written"),
    Blow::Kill("voice-1"),
    Blow::Kill("orchestrator-1"),
    Blow::Kill("writer-1"),
];

const BLOWS_TO_A_CHAT: &[Blow] = &[
    Blow::At("orchestrator.answered"),
    Blow::At("orchestrator.ledgered"),
    Blow::At("orchestrator.message-sent"),
    Blow::At("orchestrator.bus.before-delete"),
    Blow::At("writer.bus.received"),
    Blow::At("writer.bus.before-delete"),
    Blow::At("edge.published"),
    Blow::At("edge.outbound-answered"),
    Blow::Kill("orchestrator-2"),
    Blow::Kill("writer-2"),
];

/// Said in the turns of the call and the chat; short, for the modem takes its time.
const WORDS: [&str; 15] = [
    "red", "orange", "yellow", "green", "blue", "violet", "black", "white", "silver", "gold",
    "copper", "iron", "maple", "cedar", "birch",
];

struct Scene {
    mesh: Mesh,
    outside: Outside,
    history: History,
    crashes: tempfile::TempDir,
    _logs: tempfile::TempDir,
}

impl Scene {
    async fn open(broker: Broker) -> Self {
        let (crashes, logs) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let given = [
            ("SB_LLM", "openai,rules".to_owned()),
            ("SB_CRASH_DIR", crashes.path().to_string_lossy().into_owned()),
        ];
        let given = given.map(|(name, value)| (name.to_owned(), value));
        let options = Options { given: Variables::from(given), broker, ..Options::new().unwrap() };
        let log = Log::open(logs.path(), Echo::Off).unwrap();
        let mesh = Mesh::start(options, &log).await.unwrap();
        let outside = Outside::new(&mesh.endpoints().simulator).unwrap();
        outside.put("/sim/model", &json!({"mode": "never_alike"})).await.unwrap();
        let environment: Environment = mesh.environment().clone().into_iter().collect();
        let history = History::open(&environment).await.unwrap();
        Self { mesh, outside, history, crashes, _logs: logs }
    }

    fn arm(&self, point: &str) {
        std::fs::write(self.crashes.path().join(point), "").unwrap();
    }

    /// Waits until a task has died at `point`.
    async fn fired(&self, point: &str) {
        let file = self.crashes.path().join(point);
        let gone = async {
            while file.exists() {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        let fired = tokio::time::timeout(FIRED_LIMIT, gone).await;
        assert!(fired.is_ok(), "no task came to {}", Path::new(point).display());
    }

    /// A call in every turn of which something dies.
    async fn call(&self) {
        let words = &WORDS[..BLOWS_TO_A_CALL.len()];
        let mut script = CallScript::new(CALLER, OUR_NUMBER, words.iter().copied());
        script.options = CallOptions { quiet_ms: QUIET_MS, ..CallOptions::default() };
        let sid = self.outside.place(&script).await.unwrap();
        for (turn, blow) in BLOWS_TO_A_CALL.iter().enumerate() {
            let begun = |r: &CallReport| r.said.len() > turn;
            self.outside.call_until(&sid, begun).await.unwrap();
            match blow {
                Blow::At(point) => {
                    self.arm(point);
                    self.fired(point).await;
                }
                Blow::Kill(task) => {
                    let spoken = |r: &CallReport| r.said[turn].end_ms.is_some();
                    self.outside.call_until(&sid, spoken).await.unwrap();
                    self.mesh.kill(task).unwrap();
                }
            }
        }
        let report = self.outside.over(&sid).await.unwrap();

        let mut slowest_ms = 0;
        let answers: Vec<String> = report.heard[1..]
            .iter()
            .map(|turn| {
                assert!(turn.whole, "damaged: {:?}", turn.faults);
                let answer = turn.text.strip_prefix(FILLER).unwrap_or(&turn.text).trim_start();
                let fillers = turn.words.len() - answer.split_whitespace().count();
                let began = turn.words[fillers].start_ms;
                let asked = report.said.iter().filter_map(|s| s.end_ms).rfind(|&end| end <= began);
                slowest_ms = slowest_ms.max(began - asked.unwrap());
                answer.to_owned()
            })
            .collect();
        println!("slowest answer of the call: {slowest_ms} ms after the caller's last word");
        for (answer, said) in answers.iter().zip(words) {
            assert_is_one_answer(answer, said);
        }

        let call = CallSid::parse(&sid).unwrap();
        let conversation = ConversationId::of_call(DEMO, &call);
        let greeting = 1;
        let lines = greeting + 2 * words.len();
        let (kept, _) = self.history.whole(conversation, lines, words.len()).await.unwrap();
        let mut heard = vec![report.heard[0].text.clone()];
        heard.extend(words.iter().zip(&answers).flat_map(|(w, a)| [(*w).to_owned(), a.clone()]));
        assert_eq!(texts(&kept), heard, "the history is what was said and heard");
        self.history.recording(&call).await.unwrap();
    }

    /// A chat after each message of which something dies.
    async fn chat(&self) {
        let path = format!("/sim/chats/{WRITER}");
        for (turn, blow) in BLOWS_TO_A_CHAT.iter().enumerate() {
            if let Blow::At(point) = blow {
                self.arm(point);
            }
            let message = json!({
                "from": WRITER, "name": "Ada", "phone_number_id": OUR_WHATSAPP, "text": WORDS[turn],
            });
            self.outside.post("/sim/chats/messages", &message).await.unwrap();
            match blow {
                Blow::At(point) => self.fired(point).await,
                Blow::Kill(task) => drop(self.mesh.kill(task).unwrap()),
            }
            let answered = |chat: &Chat| chat.replies().len() > turn;
            self.outside.until(CHAT_ANSWER_LIMIT, &path, answered).await.unwrap();
        }
        let settled = |chat: &Chat| {
            let mut ours = chat.lines.iter().filter(|line| !line.by_person);
            ours.all(|line| line.statuses.last().is_some_and(|s| s.status == "read"))
        };
        let chat: Chat = self.outside.until(CHAT_ANSWER_LIMIT, &path, settled).await.unwrap();
        let replies = chat.replies();
        assert_eq!(
            replies.len(),
            BLOWS_TO_A_CHAT.len(),
            "each message has one answer: {replies:#?}"
        );
        for (reply, said) in replies.iter().zip(WORDS) {
            assert_is_one_answer(reply, said);
        }
        let conversation = ConversationId::of_chat(DEMO, "whatsapp", OUR_WHATSAPP, WRITER);
        let (kept, _) = self.history.whole(conversation, 2 * replies.len(), 0).await.unwrap();
        let by = |speaker| {
            let of_one = kept.iter().filter(move |l| l.speaker == speaker);
            of_one.map(|l| l.text.reveal().to_owned()).collect::<Vec<_>>()
        };
        assert_eq!(by(Speaker::User), WORDS[..replies.len()]);
        assert_eq!(by(Speaker::Agent), replies);
    }
}

fn texts(lines: &[Line]) -> Vec<String> {
    lines.iter().map(|l| l.text.reveal().to_owned()).collect()
}

/// The three sentences of one answer of the model, which numbers every one of them.
fn assert_is_one_answer(answer: &str, said: &str) {
    let number = answer.split_whitespace().nth(1).unwrap_or_default();
    let whole = format!(
        "Answer {number} begins: you said {said}. Answer {number} goes on with its second \
         sentence. Answer {number} ends here, what else can I do?"
    );
    assert_eq!(answer, whole, "one answer, whole and once");
}

async fn whatever_dies_the_person_hears_one_answer(broker: Broker) {
    let scene = Scene::open(broker).await;
    scene.call().await;
    scene.chat().await;
    scene.mesh.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn on_fauxqs() {
    whatever_dies_the_person_hears_one_answer(Broker::Fauxqs).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn on_ministack() {
    whatever_dies_the_person_hears_one_answer(Broker::Ministack).await;
}
