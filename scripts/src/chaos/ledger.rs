//! What people noted, compared with what they got and what the platform keeps.

use std::fmt;

use anyhow::Context as _;
use domain::{CallSid, ConversationId};
use simulator::caller::CallReport;
use store::messages::Speaker;
use store::seed::DEMO;

use super::traffic::{OUR_WHATSAPP, Written};
use crate::history::History;

/// What was found.
#[derive(Debug, Default)]
pub struct Verdict {
    /// Messages written, and utterances said.
    pub asked: usize,
    /// Nothing came of them.
    pub lost: Vec<String>,
    /// They were answered, or are kept, twice.
    pub doubled: Vec<String>,
    /// The history has them in another order.
    pub out_of_order: Vec<String>,
    /// Times callers waited from their last word until they heard something, ms.
    pub silences_ms: Vec<u64>,
}

impl Verdict {
    /// Whether nobody lost anything.
    pub fn is_good(&self) -> bool {
        self.lost.is_empty() && self.doubled.is_empty() && self.out_of_order.is_empty()
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
        writeln!(
            f,
            "{} asked, {} lost, {} doubled, {} out of order; silence p50 {} ms, p99 {} ms, longest {} ms",
            self.asked,
            self.lost.len(),
            self.doubled.len(),
            self.out_of_order.len(),
            self.silence(0.5),
            self.silence(0.99),
            self.silence(1.0)
        )?;
        for (what, all) in
            [("lost", &self.lost), ("doubled", &self.doubled), ("out of order", &self.out_of_order)]
        {
            for one in all {
                writeln!(f, "{what}: {one}")?;
            }
        }
        Ok(())
    }
}

pub(super) async fn judge(
    history: &History,
    called: Vec<CallReport>,
    written: Vec<Written>,
) -> anyhow::Result<Verdict> {
    let mut verdict = Verdict::default();
    for of in &written {
        let replies = of.chat.replies();
        let conversation = ConversationId::of_chat(DEMO, "whatsapp", OUR_WHATSAPP, &of.person);
        let kept = kept(history, conversation, of.texts.len()).await?;
        compare(&mut verdict, &of.person, &of.texts, &kept);
        for text in &of.texts {
            let answers =
                replies.iter().filter(|reply| reply.contains(&format!("you said {text}.")));
            match answers.count() {
                0 => verdict.lost.push(format!("{}: no answer to {text:?}", of.person)),
                1 => {}
                n => verdict.doubled.push(format!("{}: {n} answers to {text:?}", of.person)),
            }
        }
    }
    for report in &called {
        let call = CallSid::parse(&report.sid).context("a call without a SID")?;
        let said: Vec<String> = report.said.iter().map(|said| said.text.clone()).collect();
        let kept = kept(history, ConversationId::of_call(DEMO, &call), said.len()).await?;
        compare(&mut verdict, &report.sid, &said, &kept);
        verdict.silences_ms.extend(silences(report));
    }
    Ok(verdict)
}

/// What the person said, as the history has it once it is whole, or as far as it goes.
async fn kept(
    history: &History,
    conversation: ConversationId,
    asked: usize,
) -> anyhow::Result<Vec<String>> {
    let found = match history.whole(conversation, 2 * asked, 0).await {
        Ok((lines, _)) => lines,
        // What is missing is the verdict's.
        Err(_) => history.whole(conversation, 0, 0).await?.0,
    };
    let of_person = found.iter().filter(|line| line.speaker == Speaker::User);
    Ok(of_person.map(|line| line.text.reveal().to_owned()).collect())
}

/// Each of `asked` stands in `kept` once, in the same order.
fn compare(verdict: &mut Verdict, who: &str, asked: &[String], kept: &[String]) {
    verdict.asked += asked.len();
    let mut before = 0;
    for text in asked {
        let places: Vec<usize> =
            kept.iter().enumerate().filter(|(_, kept)| *kept == text).map(|(at, _)| at).collect();
        match places[..] {
            [] => verdict.lost.push(format!("{who}: {text:?} is not in the history")),
            [at] if at < before => {
                verdict.out_of_order.push(format!("{who}: {text:?}"));
            }
            [at] => before = at,
            _ => verdict.doubled.push(format!("{who}: {text:?} is kept {} times", places.len())),
        }
    }
}

/// How long the caller heard nothing after each utterance.
fn silences(report: &CallReport) -> Vec<u64> {
    let ends = report.said.iter().filter_map(|said| said.end_ms);
    let mut starts: Vec<u64> =
        report.heard.iter().flat_map(|turn| turn.words.first()).map(|word| word.start_ms).collect();
    starts.sort_unstable();
    ends.filter_map(|end| starts.iter().find(|start| **start > end).map(|start| start - end))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(asked: &[&str], kept: &[&str]) -> Verdict {
        let texts = |all: &[&str]| all.iter().map(|text| (*text).to_owned()).collect::<Vec<_>>();
        let mut verdict = Verdict::default();
        compare(&mut verdict, "Ada", &texts(asked), &texts(kept));
        verdict
    }

    #[test]
    fn what_is_lost_doubled_or_out_of_order_is_found() {
        assert!(found(&["a", "b"], &["a", "b"]).is_good());
        assert_eq!(found(&["a", "b"], &["a"]).lost.len(), 1);
        assert_eq!(found(&["a", "b"], &["a", "b", "b"]).doubled.len(), 1);
        assert_eq!(found(&["a", "b"], &["b", "a"]).out_of_order.len(), 1);
    }
}
