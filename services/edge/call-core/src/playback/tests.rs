use std::time::Duration;

use super::*;

struct Bench {
    playback: Playback,
    recording: Recording,
    now: Moment,
    out: Vec<Action>,
}

impl Bench {
    fn new(turn: u32) -> Self {
        let mut playback = Playback::new(ms(200));
        playback.expect_reply(turn);
        Self {
            playback,
            recording: Recording::new(Moment::ZERO, ms(60_000), ms(10_000), Duration::ZERO),
            now: Moment::ZERO,
            out: Vec::new(),
        }
    }

    fn sentence(&mut self, attempt: u32, index: u32, text: &str, audio: &[u8]) {
        let reply = self.playback.reply().expect("a reply is due");
        let audio = Some(audio.into());
        reply.add(Piece { attempt, index, part: 0, more: false, text: text.to_owned(), audio });
    }

    fn part(&mut self, part: u32, more: bool, text: &str, audio: Option<&[u8]>) {
        let reply = self.playback.reply().expect("a reply is due");
        let audio = audio.map(Into::into);
        reply.add(Piece { attempt: 1, index: 0, part, more, text: text.to_owned(), audio });
    }

    fn finish(&mut self, attempt: u32, sentences: u32) {
        let reply = self.playback.reply().expect("a reply is due");
        reply.finish(attempt, sentences);
    }

    fn advance(&mut self, by: u64) {
        self.now += ms(by);
        (self.playback).advance(false, 0, self.now, &mut self.recording, &mut self.out);
    }

    fn sent(&self) -> Vec<u8> {
        let audio = self.out.iter().filter_map(|action| match action {
            Action::SendAudio(audio) => Some(&audio[..]),
            _ => None,
        });
        audio.collect::<Vec<_>>().concat()
    }

    fn marks(&self) -> Vec<&str> {
        let marks = self.out.iter().filter_map(|action| match action {
            Action::SendMark(name) => Some(&name[..]),
            _ => None,
        });
        marks.collect()
    }

    fn mark(&mut self, name: &str) -> Option<String> {
        let progress = self.playback.mark_returned(name, self.now, &mut self.recording);
        progress.map(|progress| progress.text)
    }

    fn heard(&mut self) -> String {
        let heard = self.playback.drop_reply(self.now);
        heard.map(|heard| heard.text).unwrap_or_default()
    }
}

fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

#[test]
fn audio_goes_out_byte_for_byte_and_in_order() {
    let mut bench = Bench::new(1);
    let audio: Vec<u8> = (0..5_000_u32).map(|n| (n * 31 % 256) as u8).collect();
    bench.sentence(1, 1, "b", &audio[2_345..]);
    bench.advance(0);
    assert!(bench.sent().is_empty(), "the first sentence is missing");
    bench.sentence(1, 0, "a", &audio[..2_345]);
    for _ in 0..40 {
        bench.advance(20);
    }
    assert_eq!(bench.sent(), audio);
}

#[test]
fn no_more_goes_out_than_the_time_ahead() {
    let mut bench = Bench::new(1);
    bench.sentence(1, 0, "a", &[1; 16_000]);
    bench.advance(0);
    assert_eq!(bench.sent().len(), 1_600);
    bench.advance(19);
    assert_eq!(bench.sent().len(), 1_600);
    bench.advance(1);
    assert_eq!(bench.sent().len(), 1_760);
    // The shell was away for longer than was sent ahead: only what is ahead from now on follows.
    bench.advance(5_000);
    assert_eq!(bench.sent().len(), 1_760 + 1_600);
}

#[test]
fn a_mark_follows_each_second_and_each_sentence() {
    let mut bench = Bench::new(1);
    bench.sentence(1, 0, "a", &[1; 20_000]);
    bench.sentence(1, 1, "b", &[2; 100]);
    for _ in 0..200 {
        bench.advance(20);
    }
    assert_eq!(bench.marks(), ["m1", "m2", "m3", "m4", "m5"]);
    let mut sent = 0;
    let mut marked = Vec::new();
    for action in &bench.out {
        match action {
            Action::SendAudio(audio) => sent += audio.len(),
            Action::SendMark(_) => marked.push(sent),
            _ => {}
        }
    }
    assert_eq!(marked, [1_600, 8_000, 16_000, 20_000, 20_100]);
}

#[test]
fn what_is_heard_is_the_last_mark_and_the_time_since() {
    let mut bench = Bench::new(1);
    // Two seconds, four words of half a second each.
    bench.sentence(1, 0, "abcd abcd abcd abcd", &[1; 16_000]);
    bench.advance(0);
    while bench.now < ms(1_500) {
        bench.advance(20);
    }
    // By the clock the caller would be 1.5 s in; the mark says that the first second is over only now.
    bench.mark("m2");
    bench.advance(300);
    assert_eq!(bench.heard(), "abcd abcd");
}

#[test]
fn a_mark_after_the_clear_extends_nothing() {
    let mut bench = Bench::new(1);
    bench.sentence(1, 0, "abcd abcd abcd abcd", &[1; 16_000]);
    for _ in 0..40 {
        bench.advance(20);
    }
    let heard = bench.heard();
    assert_eq!(heard, "abcd");
    (bench.playback).clear(bench.now, &mut bench.recording, &mut bench.out);
    let sent = bench.playback.line.sent();
    bench.playback.expect_reply(2);
    bench.sentence(1, 0, "efgh efgh efgh efgh", &[2; 16_000]);
    bench.advance(20);
    let again = bench.now;
    bench.mark("m1");
    let before = bench.playback.line.heard(bench.now);
    assert_eq!(before, sent, "as far as was sent until the clear");
    // What follows is timed from its own beginning, not from that of what was cleared.
    while bench.now < again + ms(1_000) {
        bench.advance(20);
    }
    assert_eq!(bench.heard(), "efgh efgh");
}

#[test]
fn nothing_counts_as_heard_that_was_not_sent() {
    let mut bench = Bench::new(1);
    bench.sentence(1, 0, "abcd abcd abcd abcd", &[1; 16_000]);
    bench.advance(0);
    bench.now += Duration::from_secs(10);
    assert_eq!(bench.heard(), "", "200 ms were sent");
}

#[test]
fn only_the_attempt_that_was_begun_is_spoken() {
    let mut bench = Bench::new(1);
    bench.sentence(7, 1, "b", &[9; 160]);
    bench.sentence(8, 0, "a", &[1; 160]);
    bench.advance(20);
    bench.sentence(7, 0, "a", &[9; 160]);
    bench.sentence(7, 1, "b", &[9; 160]);
    bench.finish(7, 2);
    bench.sentence(8, 1, "b", &[2; 160]);
    bench.sentence(8, 0, "a", &[9; 160]);
    bench.finish(8, 2);
    for _ in 0..10 {
        bench.advance(20);
    }
    assert_eq!(bench.sent(), [[1; 160], [2; 160]].concat());
    for mark in ["m1", "m2"] {
        bench.mark(mark);
    }
    let heard = bench.playback.conclude_reply(bench.now);
    let whole = Heard { turn: 1, text: "a b".to_owned(), complete: true };
    assert_eq!(heard, Some(whole));
}

#[test]
fn a_reply_is_over_without_its_marks_after_a_while() {
    let mut bench = Bench::new(1);
    bench.sentence(1, 0, "a", &[1; 160]);
    bench.finish(1, 1);
    bench.advance(0);
    assert_eq!(bench.playback.conclude_reply(ms(1_000)), None);
    let wake = bench.playback.next_wake(false).expect("a wait for the mark");
    let heard = bench.playback.conclude_reply(wake);
    assert!(heard.is_some_and(|heard| heard.complete));
}

#[test]
fn a_reply_without_sentences_is_over_at_once() {
    let mut bench = Bench::new(1);
    bench.finish(1, 0);
    let heard = bench.playback.conclude_reply(bench.now);
    assert!(heard.is_some_and(|heard| heard.complete && heard.text.is_empty()));
}

#[test]
fn parts_of_a_sentence_are_joined_whichever_order_they_come_in() {
    let audio: Vec<u8> = (0..6_000_u32).map(|n| (n * 31 % 256) as u8).collect();
    let mut bench = Bench::new(1);
    bench.part(2, false, "abcd", Some(&audio[4_000..]));
    bench.part(0, true, "abcd", Some(&audio[..1_500]));
    bench.part(0, true, "abcd", Some(&[0; 700]));
    bench.advance(0);
    assert_eq!(bench.sent(), audio[..1_500], "the first part does not wait for the others");
    bench.part(1, true, "abcd", Some(&audio[1_500..4_000]));
    bench.part(3, false, "abcd", Some(&[0; 700]));
    bench.finish(1, 1);
    for _ in 0..60 {
        bench.advance(20);
    }
    assert_eq!(bench.sent(), audio);
    let heard = bench.playback.drop_reply(bench.now);
    assert!(heard.is_some_and(|heard| heard.complete && heard.text == "abcd"));
}

#[test]
fn a_part_that_is_late_leaves_a_gap_and_the_words_are_counted_over_it() {
    let mut bench = Bench::new(1);
    // Two seconds, four words of half a second each; the second half comes when the first has long been played.
    let text = "abcd abcd abcd abcd";
    bench.part(0, true, text, Some(&[1; 8_000]));
    for _ in 0..150 {
        bench.advance(20);
    }
    assert_eq!(bench.sent().len(), 8_000);
    assert!(bench.playback.is_speaking(bench.now), "the agent has not finished");
    bench.part(1, false, text, Some(&[1; 8_000]));
    for _ in 0..30 {
        bench.advance(20);
    }
    assert_eq!(bench.heard(), "abcd abcd abcd");
}

#[test]
fn a_part_that_never_comes_does_not_hold_up_the_reply_nor_count_as_heard() {
    for last in [None, Some(())] {
        let mut bench = Bench::new(1);
        bench.part(0, true, "a rather long sentence with many words", Some(&[1; 1_600]));
        bench.sentence(1, 1, "Next.", &[2; 1_600]);
        bench.finish(1, 2);
        if last.is_some() {
            bench.part(1, false, "", None);
        }
        for _ in 0..500 {
            bench.advance(20);
        }
        assert_eq!(bench.sent(), [[1; 1_600], [2; 1_600]].concat());
        let heard = bench.playback.drop_reply(bench.now).expect("a reply");
        assert_eq!((heard.text.as_str(), heard.complete), ("a Next.", false));
    }
}

#[test]
fn each_mark_tells_what_more_was_heard_once() {
    let mut bench = Bench::new(1);
    bench.sentence(1, 0, "abcd abcd abcd abcd", &[1; 16_000]);
    bench.sentence(1, 1, "efgh", &[1; 1_600]);
    for _ in 0..120 {
        bench.advance(20);
    }
    let told: Vec<_> = ["m1", "m2", "m2", "m3", "m4"].map(|mark| bench.mark(mark)).into();
    let text = |text: &str| Some(text.to_owned());
    let whole = "abcd abcd abcd abcd";
    assert_eq!(told, [None, text("abcd abcd"), None, text(whole), text(&format!("{whole} efgh"))]);
}
