//! What people noted, compared with what they got and what the platform keeps.

use std::collections::BTreeSet;
use std::fmt;
use std::sync::Arc;

use anyhow::Context as _;
use boot::Environment;
use domain::{CallSid, ConversationId, TenantSettings, Timestamp};
use simulator::caller::CallReport;
use store::dead_letters::{DeadLetters, Filter, Letter, State};
use store::messages::{Line, Speaker};
use store::seed::{DEMO, DEMO_WHATSAPP};
use vault::FieldKeys;

use super::caller::{Outcome, quote};
use super::traffic::{Called, Written};
use crate::aws;
use crate::history::History;

/// What callers may hear nothing for, of a hundred times but once (issue 6), ms.
const SILENCE_P99_LIMIT_MS: u64 = 8_000;
/// More letters than this are no use to whoever reads a verdict.
const LETTERS_MAX: i64 = 1_000;

/// What was found.
#[derive(Debug, Default)]
pub struct Verdict {
    /// Calls placed.
    pub calls: usize,
    /// Messages written, and words said.
    pub asked: usize,
    /// Words that the platform asked to hear again, or was away for: said again, so not lost.
    pub again: usize,
    /// Their reply may or may not have been sent when its task died, and the platform says so where operators look, for
    /// it is not sent again (DESIGN 2, "Sends"): neither lost nor doubled.
    pub raised: Vec<String>,
    /// Nothing came of them.
    pub lost: Vec<String>,
    /// They were answered, or are kept, twice.
    pub doubled: Vec<String>,
    /// The history has them in another order.
    pub out_of_order: Vec<String>,
    /// Calls in which anything of that happened, whole: they are the simulator's, and nobody's.
    pub told: Vec<String>,
    /// The longest time a caller waited in silence, for each word, ms.
    pub silences_ms: Vec<u64>,
    /// How often the broker delivered messages again.
    pub delivered_again: u32,
    /// Messages that were given up and wait for an operator.
    pub dead_letters: Vec<String>,
    /// Those whose time is over: nobody waits for what would come of them.
    pub expired_letters: Vec<String>,
}

impl Verdict {
    /// Whether nobody lost anything, callers did not wait for long, and there is nothing left to be done.
    pub fn is_good(&self) -> bool {
        self.lost.is_empty()
            && self.doubled.is_empty()
            && self.out_of_order.is_empty()
            && self.dead_letters.is_empty()
            && self.silence(0.99) < SILENCE_P99_LIMIT_MS
    }

    /// Takes in what the archive has at the end.
    fn judge_letters(&mut self, letters: &[Letter], now: Timestamp) {
        for letter in letters {
            let event = letter.event_name.as_deref().unwrap_or("what cannot be read");
            let told = format!("{event} of {}: {}", letter.queue, letter.reason);
            match letter.expires_at.is_some_and(|at| at <= now) {
                true => self.expired_letters.push(told),
                false => self.dead_letters.push(told),
            }
        }
    }

    fn silence(&self, share: f64) -> u64 {
        let mut sorted = self.silences_ms.clone();
        sorted.sort_unstable();
        let at = (sorted.len().saturating_sub(1)) as f64 * share;
        sorted.get(at.round() as usize).copied().unwrap_or(0)
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (what, all) in [
            ("raised", &self.raised),
            ("lost", &self.lost),
            ("doubled", &self.doubled),
            ("out of order", &self.out_of_order),
            ("dead letter", &self.dead_letters),
            ("dead letter whose time is over", &self.expired_letters),
            ("call", &self.told),
        ] {
            for one in all {
                writeln!(f, "{what}: {one}")?;
            }
        }
        write!(
            f,
            "{} calls; {} words and messages, {} of them asked for again; messages delivered again by the broker: {}\n\
             {} lost, {} raised as doubtful, {} doubled, {} out of order, {} dead letters left; \
             silence p50 {} ms, p99 {} ms, longest {} ms",
            self.calls,
            self.asked,
            self.again,
            self.delivered_again,
            self.lost.len(),
            self.raised.len(),
            self.doubled.len(),
            self.out_of_order.len(),
            self.dead_letters.len() + self.expired_letters.len(),
            self.silence(0.5),
            self.silence(0.99),
            self.silence(1.0)
        )
    }
}

pub(super) async fn judge(
    history: &History,
    called: Vec<Called>,
    written: Vec<Written>,
) -> anyhow::Result<Verdict> {
    let mut verdict = Verdict { calls: called.len(), ..Verdict::default() };
    for of in &written {
        let conversation = ConversationId::of_chat(DEMO, "whatsapp", DEMO_WHATSAPP, &of.person);
        let mut kept = kept(history, conversation, 2 * of.texts.len()).await?;
        if !of.unanswered().is_empty() {
            // Where nothing is known of a reply, none was raised.
            let raised = history.raised(conversation).await.unwrap_or_default();
            kept.raised = raised.iter().map(|text| text.reveal().to_owned()).collect();
        }
        verdict.judge_chat(of, &kept);
    }
    for of in &called {
        // One that was never taken has no conversation.
        let kept = match of.report.answered_unix_ms {
            Some(_) => {
                let call = CallSid::parse(&of.report.sid).context("a call without a SID")?;
                if history.recording(&call).await.is_err() {
                    verdict.lost.push(format!("{}: its recording", of.report.sid));
                }
                let answered =
                    of.asked.iter().filter(|(_, outcome)| *outcome == Outcome::Answered).count();
                kept(history, ConversationId::of_call(DEMO, &call), 1 + 2 * answered).await?
            }
            None => Kept::default(),
        };
        verdict.judge_call(of, &kept);
    }
    Ok(verdict)
}

/// Adds what the consumers gave up and nobody did anything about.
///
/// # Errors
/// When the archive of `environment` cannot be read.
pub(super) async fn judge_letters(
    verdict: &mut Verdict,
    environment: &Environment,
) -> anyhow::Result<()> {
    let mut reader = environment.reader();
    let database_url = reader.required("DATABASE_URL");
    let kms_key = reader.optional("SB_KMS_KEY").unwrap_or_else(|| "alias/switchboard".to_owned());
    let database_url = reader.finish(database_url)?;
    let kms = aws_sdk_kms::Client::new(&aws::config(environment).await);
    let keys = Arc::new(FieldKeys::new(kms, kms_key));
    let archive = DeadLetters::open(&database_url, keys).await?;
    let waiting = Filter { states: Some(vec![State::Waiting]), ..Filter::default() };
    verdict.judge_letters(&archive.list(&waiting, LETTERS_MAX).await?, Timestamp::now());
    Ok(())
}

/// What the history has of a conversation, in its order.
#[derive(Debug, Default)]
struct Kept {
    person: Vec<String>,
    agent: Vec<String>,
    /// Those of the agent that were raised.
    raised: Vec<String>,
}

/// The history of a conversation, once it has `lines`, or as far as it goes: what is missing is the verdict's.
async fn kept(
    history: &History,
    conversation: ConversationId,
    lines: usize,
) -> anyhow::Result<Kept> {
    let found = match history.whole(conversation, lines, 0).await {
        Ok((found, _)) => found,
        Err(_) => history.whole(conversation, 0, 0).await?.0,
    };
    let by = |speaker| {
        let of_one = found.iter().filter(move |line: &&Line| line.speaker == speaker);
        of_one.map(|line| line.text.reveal().to_owned()).collect()
    };
    Ok(Kept { person: by(Speaker::User), agent: by(Speaker::Agent), raised: Vec::new() })
}

impl Written {
    /// What no answer quotes. An answer that does not quote is another's than the model's; which message it answers does
    /// not show.
    fn unanswered(&self) -> Vec<&str> {
        let replies = self.chat.replies();
        let is_quoted = |text: &str| replies.iter().any(|r| r.contains(&quote(text)));
        self.texts.iter().map(String::as_str).filter(|text| !is_quoted(text)).collect()
    }
}

impl Verdict {
    fn judge_chat(&mut self, of: &Written, kept: &Kept) {
        let (who, replies) = (&of.person, of.chat.replies());
        self.asked += of.texts.len();
        let texts: Vec<&str> = of.texts.iter().map(String::as_str).collect();
        self.compare(who, &texts, &kept.person, |kept, text| kept == text);
        let quoting = |text: &str| replies.iter().filter(|r| r.contains(&quote(text))).count();
        let others = replies.iter().filter(|reply| !reply.contains("you said ")).count();
        let unquoted = of.unanswered();
        for text in unquoted.iter().skip(others) {
            match kept.raised.iter().any(|reply| reply.contains(&quote(text))) {
                true => self.raised.push(format!("{who}: the answer to {text:?}")),
                false => self.lost.push(format!("{who}: no answer to {text:?}")),
            }
        }
        if others > unquoted.len() {
            self.doubled.push(format!("{who}: {others} other answers for {unquoted:?}"));
        }
        for text in &texts {
            if quoting(text) > 1 {
                self.doubled.push(format!("{who}: {} answers to {text:?}", quoting(text)));
            }
            self.compare_answers(who, text, quoting(text) > 0, kept);
        }
    }

    fn judge_call(&mut self, of: &Called, kept: &Kept) {
        let (who, report) = (&of.report.sid, &of.report);
        let faults = self.faults();
        self.asked += of.asked.len();
        let mut answered = Vec::new();
        for (word, outcome) in &of.asked {
            match outcome {
                Outcome::Answered | Outcome::AnsweredOtherwise => answered.push(*word),
                Outcome::Excused | Outcome::CutShort => self.again += 1,
                Outcome::Waiting => self.lost.push(format!("{who}: {word:?}: no end of it")),
                Outcome::Lost(why) => self.lost.push(format!("{who}: {word:?}: {why}")),
            }
            // A call that did not come to a word.
            if word.is_empty() {
                continue;
            }
            if let Some(what) = heard_twice(report, word) {
                self.doubled.push(format!("{who}: {word:?}: {what}"));
            }
            let was_answered = *outcome == Outcome::Answered;
            self.compare_answers(who, word, was_answered, kept);
            let times = kept.person.iter().filter(|line| has_word(line, word)).count();
            if times > 1 && !was_answered {
                self.doubled.push(format!("{who}: {word:?} is kept {times} times"));
            }
        }
        self.compare(who, &answered, &kept.person, has_word);
        self.silences_ms.extend(silences(report));
        if self.faults() > faults {
            let heard: Vec<String> = report
                .heard
                .iter()
                .map(|turn| format!("{}-{} {:?}", turn.start_ms, turn.end_ms, turn.text))
                .collect();
            self.told.push(format!("{who}: words {:?}; heard {heard:?}; kept {kept:?}", of.asked));
        }
    }

    fn faults(&self) -> usize {
        self.lost.len() + self.doubled.len() + self.out_of_order.len()
    }

    /// Each of `asked` stands in `kept` once, in the same order.
    fn compare(
        &mut self,
        who: &str,
        asked: &[&str],
        kept: &[String],
        is: impl Fn(&str, &str) -> bool,
    ) {
        let mut before = 0;
        for text in asked {
            let places = kept.iter().enumerate().filter(|(_, kept)| is(kept, text));
            match places.map(|(at, _)| at).collect::<Vec<_>>()[..] {
                [] => self.lost.push(format!("{who}: {text:?} is not in the history")),
                [at] if at < before => self.out_of_order.push(format!("{who}: {text:?}")),
                [at] => before = at,
                [..] => self.doubled.push(format!("{who}: {text:?} is kept more than once")),
            }
        }
    }

    /// An answer that was got stands in the history, and none stands there twice.
    fn compare_answers(&mut self, who: &str, text: &str, was_answered: bool, kept: &Kept) {
        match kept.agent.iter().filter(|line| line.contains(&quote(text))).count() {
            0 if was_answered => {
                self.lost.push(format!("{who}: the answer to {text:?} is not in the history"));
            }
            0 | 1 => {}
            n => self.doubled.push(format!("{who}: {n} answers to {text:?} are kept")),
        }
    }
}

fn has_word(line: &str, word: &str) -> bool {
    line.split(|c: char| !c.is_alphanumeric()).any(|one| one.eq_ignore_ascii_case(word))
}

/// How the caller heard the answer to a word twice, if so. After "I am back" the sentence is said again that the line was
/// lost in.
fn heard_twice(report: &CallReport, word: &str) -> Option<String> {
    let resumed = TenantSettings::default().resumed;
    let heard: Vec<&str> = report.texts();
    let heard = heard.join(" ");
    let mut numbers = BTreeSet::new();
    let mut since_back = 0;
    for (at, _) in heard.match_indices(&quote(word)) {
        let number = heard[..at].trim_end_matches(" begins: ").rsplit(' ').next()?;
        let is_back = heard[since_back..at].contains(&*resumed);
        if !numbers.insert(number) && !is_back {
            return Some(format!("answer {number} was heard twice"));
        }
        since_back = at;
    }
    (numbers.len() > 1).then(|| format!("answers {numbers:?} were heard"))
}

/// The longest silence after each utterance, until the caller spoke again or hung up.
fn silences(report: &CallReport) -> Vec<u64> {
    let longest = |(at, said): (usize, &simulator::twilio::Said)| {
        let end_ms = said.end_ms?;
        let until_ms = report.said.get(at + 1).map_or(u64::MAX, |next| next.start_ms);
        let turns = report.heard.iter().filter(|turn| turn.end_ms > end_ms);
        let mut heard_until_ms = end_ms;
        let mut longest_ms = 0;
        for turn in turns.take_while(|turn| turn.start_ms < until_ms) {
            longest_ms = longest_ms.max(turn.start_ms.saturating_sub(heard_until_ms));
            heard_until_ms = heard_until_ms.max(turn.end_ms);
        }
        // Nothing came at all: as long as the caller had patience.
        (heard_until_ms == end_ms && until_ms != u64::MAX)
            .then_some(until_ms.saturating_sub(end_ms))
            .or(Some(longest_ms))
    };
    report.said.iter().enumerate().filter_map(longest).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use simulator::caller::Voice;
    use simulator::meta::Chat;
    use simulator::twilio::{Said, Turn};

    fn texts(all: &[&str]) -> Vec<String> {
        all.iter().map(|text| (*text).to_owned()).collect()
    }

    fn found(asked: &[&str], kept: &[&str]) -> Verdict {
        let mut verdict = Verdict::default();
        verdict.compare("Ada", asked, &texts(kept), |kept, text| kept == text);
        verdict
    }

    #[test]
    fn what_is_lost_doubled_or_out_of_order_is_found() {
        assert!(found(&["a", "b"], &["a", "b"]).is_good());
        assert_eq!(found(&["a", "b"], &["a"]).lost.len(), 1);
        assert_eq!(found(&["a", "b"], &["a", "b", "b"]).doubled.len(), 1);
        assert_eq!(found(&["a", "b"], &["b", "a"]).out_of_order.len(), 1);
    }

    #[test]
    fn a_hundredth_of_the_silences_may_be_long_and_no_more() {
        let of = |long: usize, ms: u64| {
            let silences_ms = [vec![500; 200 - long], vec![ms; long]].concat();
            Verdict { silences_ms, ..Verdict::default() }
        };
        assert!(of(2, 20_000).is_good());
        assert!(of(20, 7_999).is_good());
        assert!(!of(20, 8_000).is_good());
    }

    #[test]
    fn a_dead_letter_that_is_left_is_not_good_unless_its_time_is_over() {
        let now = Timestamp::from_micros(10_000_000);
        let letter = |expires_at| Letter {
            number: 1,
            queue: "speak".to_owned(),
            group: "one".to_owned(),
            error_type: "never_finished".to_owned(),
            reason: "begun 5 times and never finished".to_owned(),
            starts: 5,
            receives: 5,
            sent_at: None,
            died_at: now,
            tenant: None,
            conversation: None,
            event: None,
            event_name: Some("speak_sentence".to_owned()),
            turn: None,
            replays: 0,
            occurred_at: None,
            expires_at,
            trace_id: None,
            build: String::new(),
            state: State::Waiting,
        };
        let found = |expires_at| {
            let mut verdict = Verdict::default();
            verdict.judge_letters(&[letter(expires_at)], now);
            verdict
        };
        for wanted in [None, Some(Timestamp::from_micros(10_000_001))] {
            let verdict = found(wanted);
            assert!(!verdict.is_good());
            assert!(verdict.to_string().contains("speak_sentence of speak: begun 5 times"));
        }
        let over = found(Some(now));
        assert!(over.is_good());
        assert!(over.to_string().contains("1 dead letters left"), "{over}");
    }

    fn chat(replies: &[&str], raised: &[&str]) -> Verdict {
        let lines: Vec<_> = replies
            .iter()
            .map(|text| {
                serde_json::json!({"id": "", "by_person": false, "kind": "text", "text": text,
                    "content": null, "unix_ms": 0, "statuses": [], "attempts": 0})
            })
            .collect();
        let chat = serde_json::json!({"wa_id": "", "name": "", "phone_number_id": "",
            "lines": lines});
        let chat: Chat = serde_json::from_value(chat).unwrap();
        let of = Written { person: "Ada".to_owned(), texts: texts(&["one", "two"]), chat };
        let agent = texts(replies);
        let kept = Kept { person: texts(&["one", "two"]), agent, raised: texts(raised) };
        let mut verdict = Verdict::default();
        verdict.judge_chat(&of, &kept);
        verdict
    }

    #[test]
    fn each_message_of_a_chat_has_one_answer() {
        let (one, two) = ("Answer 1 begins: you said one.", "Answer 2 begins: you said two.");
        assert!(chat(&[one, two], &[]).is_good());
        assert!(chat(&[one, "I did not understand."], &[]).is_good(), "another than the model");
        assert_eq!(chat(&[one], &[]).lost.len(), 1);
        assert_eq!(chat(&[one, two, "I did not understand."], &[]).doubled.len(), 1);
        assert!(!chat(&[one, two, "Answer 3 begins: you said two."], &[]).doubled.is_empty());
    }

    #[test]
    fn an_answer_that_operators_are_told_of_is_not_lost() {
        let (one, two) = ("Answer 1 begins: you said one.", "Answer 2 begins: you said two.");
        let verdict = chat(&[one], &[two]);
        assert!(verdict.is_good());
        assert_eq!(verdict.raised.len(), 1);
        assert_eq!(chat(&[one], &[one]).lost.len(), 1, "another's was raised");
    }

    fn heard(said: &str) -> CallReport {
        let turn = Turn { text: said.to_owned(), ..Turn::default() };
        CallReport { heard: vec![turn], ..CallReport::default() }
    }

    #[test]
    fn an_answer_is_heard_twice_only_where_nobody_came_back_in_it() {
        let answer = "Answer 4 begins: you said maple.";
        assert_eq!(heard_twice(&heard(answer), "maple"), None);
        assert!(heard_twice(&heard(&format!("{answer} {answer}")), "maple").is_some());
        let other = "Answer 5 begins: you said maple.";
        assert!(heard_twice(&heard(&format!("{answer} {other}")), "maple").is_some());
        let back = TenantSettings::default().resumed;
        assert_eq!(heard_twice(&heard(&format!("{answer} {back} {answer}")), "maple"), None);
    }

    #[test]
    fn the_longest_silence_counts_also_within_an_answer() {
        let said = |start_ms, end_ms| Said {
            text: String::new(),
            voice: Voice::Modem,
            start_ms,
            end_ms: Some(end_ms),
        };
        let turn = |start_ms, end_ms| Turn { start_ms, end_ms, ..Turn::default() };
        let report = CallReport {
            said: vec![said(0, 1_000), said(20_000, 21_000), said(40_000, 41_000)],
            heard: vec![turn(2_000, 3_000), turn(9_000, 10_000), turn(42_000, 43_000)],
            ..CallReport::default()
        };
        assert_eq!(silences(&report), [6_000, 19_000, 1_000]);
    }
}
