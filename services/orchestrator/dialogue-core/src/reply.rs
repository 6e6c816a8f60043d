//! One reply on its way from a model to the ear: cut into sentences, taken over by the next model
//! when one fails, carried on where an earlier run stopped.

use crate::{
    sentence::{Splitter, is_speakable, sentences},
    tool::{self, ArgumentError, Call, Done, ToolRequest},
};

/// The longest reply taken from a model, in bytes; what comes after is rubbish or a loop.
pub const REPLY_BYTES_MAX: usize = 4_000;

/// How often the model that began a reply is asked to go on with it after it broke off.
pub const CONTINUATIONS_MAX: u32 = 1;

/// How often a model may ask for tools in one turn; one that asks again loops.
pub const ROUNDS_MAX: u32 = 4;

/// How often a model may ask for what it cannot have (a tool it may not use, arguments that do not fit) and is told so.
pub const MISTAKES_MAX: u32 = 1;

/// What the last resort is: no model answered and nothing was said.
pub const RECOVERY: &str = "Sorry, I am having trouble right now. Could you say that again?";

/// What happens to a reply.
#[derive(Clone, PartialEq, Debug)]
pub enum ReplyInput<'a> {
    /// The turn begins, or goes on from the ledger.
    Begin,
    /// The model wrote this much more.
    Text(&'a str),
    /// The model said this, as one sentence: what it sounds like is whole too.
    Sentence(&'a str),
    /// The model's message ended with requests for tools, in this order.
    Asked(Vec<Result<ToolRequest, ArgumentError>>),
    /// The model said that it is done.
    Ended,
    /// The model broke off, or did not answer.
    Failed,
    /// The model was sent away in the middle, for the caller seemed to interrupt; he did not, and the reply goes on.
    GoesOn,
    /// The models have used up what a turn may cost.
    OverBudget,
    /// There is no time left to ask anyone.
    OutOfTime,
}

/// What is to be done for it.
#[derive(Clone, PartialEq, Debug)]
pub enum ReplyAction {
    /// Ask this model, by its place in the list, for what follows the sentences there are.
    Ask(usize),
    /// Record the sentence, and say it. The text is as the model wrote it.
    Say {
        /// Its place in the reply.
        index: u32,
        /// The sentence, with the white space before it.
        sentence: String,
    },
    /// Run a tool the model asked for, and keep what came of it for the next [`Self::Ask`]. A call
    /// whose index stands in the ledger is not run again: what stands there came of it.
    Run {
        /// Which of the requests of [`ReplyInput::Asked`].
        place: usize,
        /// The call.
        call: Call,
    },
    /// Tell the model, with the next [`Self::Ask`], that a request cannot be run, and why.
    Refuse {
        /// Which of the requests of [`ReplyInput::Asked`].
        place: usize,
        /// What the model is told.
        why: String,
    },
    /// Nothing more follows.
    Finish,
}

/// A reply in the making.
pub struct Reply {
    said: u32,
    models: usize,
    /// The model that is asked; once a sentence stands, the one that made it.
    model: usize,
    continuations: u32,
    /// What was run in the turn.
    calls: Vec<Call>,
    /// How often the model asked for tools.
    rounds: u32,
    /// In how many of these rounds it asked for what it cannot have.
    mistakes: u32,
    /// Nothing was said since tools were asked for: whoever heard "let me look" waits.
    is_owed: bool,
    /// What is said of what was done, where no model does.
    done: Option<String>,
    bytes: usize,
    splitter: Splitter,
    is_finished: bool,
}

impl Reply {
    /// A reply of which `said` sentences stand in the ledger, made by the model at `made_by` of a
    /// list of `models`.
    pub fn new(models: usize, said: u32, made_by: Option<usize>) -> Self {
        Self {
            said,
            models,
            model: made_by.unwrap_or(0),
            continuations: 0,
            calls: Vec::new(),
            rounds: 0,
            mistakes: 0,
            is_owed: false,
            done: None,
            bytes: 0,
            splitter: Splitter::default(),
            is_finished: false,
        }
    }

    /// The same reply in a turn in which this was done already, by an earlier run or the rules. `is_owed`: nothing was
    /// said after it.
    pub fn after(mut self, done: &[Done], is_owed: bool) -> Self {
        self.calls = done.iter().map(|d| d.call.clone()).collect();
        self.is_owed = is_owed;
        self
    }

    /// What a person has to know of what was done in the turn, for the case that no model says it.
    pub fn has_done(&mut self, said: Option<String>) {
        self.done = said;
    }

    /// How many sentences the reply has so far.
    pub fn sentences(&self) -> u32 {
        self.said
    }

    /// Takes in what happened. After [`ReplyAction::Finish`] nothing is done any more.
    pub fn step(&mut self, input: ReplyInput<'_>) -> Vec<ReplyAction> {
        if self.is_finished {
            return Vec::new();
        }
        match input {
            ReplyInput::Begin => self.ask(),
            ReplyInput::Text(piece) => {
                self.bytes += piece.len();
                let sentences = self.splitter.push(piece);
                let mut actions = self.say(sentences);
                if self.bytes > REPLY_BYTES_MAX {
                    actions.extend(self.leave());
                }
                actions
            }
            ReplyInput::Sentence(text) => {
                self.bytes += text.len();
                let mut actions = self.say(vec![text.to_owned()]);
                if self.bytes > REPLY_BYTES_MAX {
                    actions.extend(self.leave());
                }
                actions
            }
            ReplyInput::Asked(requests) => {
                let rest = self.splitter.finish();
                let mut actions = self.say(rest.into_iter().collect());
                self.is_owed = true;
                self.rounds += 1;
                self.mistakes += u32::from(requests.iter().any(Result::is_err));
                let is_lost = self.rounds > ROUNDS_MAX || self.mistakes > MISTAKES_MAX;
                if is_lost || requests.is_empty() {
                    actions.extend(self.leave());
                    return actions;
                }
                let run = requests.into_iter().enumerate();
                actions.extend(run.map(|(place, request)| self.run(place, request)));
                actions.extend(self.ask());
                actions
            }
            ReplyInput::Ended => {
                let rest = self.splitter.finish();
                let mut actions = self.say(rest.into_iter().collect());
                actions.extend(self.leave());
                actions
            }
            ReplyInput::Failed if self.said == 0 => self.next_model(),
            ReplyInput::Failed if self.continuations < CONTINUATIONS_MAX => {
                self.continuations += 1;
                self.ask()
            }
            // What was begun by one model is not finished by another: it would not fit.
            ReplyInput::Failed => self.finish(),
            ReplyInput::GoesOn => self.ask(),
            ReplyInput::OverBudget => self.leave(),
            ReplyInput::OutOfTime => self.finish(),
        }
    }

    fn run(&mut self, place: usize, request: Result<ToolRequest, ArgumentError>) -> ReplyAction {
        let request = match request {
            Ok(request) => request,
            Err(why) => return ReplyAction::Refuse { place, why: why.to_string() },
        };
        if let Some(call) = self.calls.iter().find(|c| c.request == request) {
            return ReplyAction::Run { place, call: call.clone() };
        }
        let index = self.calls.iter().map(|c| c.index + 1).max().unwrap_or(0);
        if index >= tool::CALLS_MAX {
            let why = "no more tools can be used in this turn".to_owned();
            return ReplyAction::Refuse { place, why };
        }
        let call = Call { index, request };
        self.calls.push(call.clone());
        ReplyAction::Run { place, call }
    }

    /// The model has nothing more to say, or is not listened to any more.
    fn leave(&mut self) -> Vec<ReplyAction> {
        if self.said == 0 { self.next_model() } else { self.finish() }
    }

    fn next_model(&mut self) -> Vec<ReplyAction> {
        self.model += 1;
        (self.rounds, self.mistakes) = (0, 0);
        self.ask()
    }

    fn ask(&mut self) -> Vec<ReplyAction> {
        self.splitter = Splitter::default();
        self.bytes = 0;
        if self.model < self.models { vec![ReplyAction::Ask(self.model)] } else { self.finish() }
    }

    fn say(&mut self, sentences: Vec<String>) -> Vec<ReplyAction> {
        let mut actions = Vec::new();
        for sentence in sentences.into_iter().filter(|s| is_speakable(s)) {
            actions.push(ReplyAction::Say { index: self.said, sentence });
            self.said += 1;
            self.is_owed = false;
        }
        actions
    }

    /// Nobody is left without a word, nor with a promise alone.
    fn finish(&mut self) -> Vec<ReplyAction> {
        let mut actions = Vec::new();
        if self.said == 0 || self.is_owed {
            let words = self.done.take().unwrap_or_else(|| RECOVERY.to_owned());
            let first = if self.said == 0 { "" } else { " " };
            actions = self.say(sentences(&format!("{first}{words}")));
        }
        self.is_finished = true;
        actions.push(ReplyAction::Finish);
        actions
    }
}

/// The whole reply from its sentences: as the model wrote it, with a space where a second run went
/// on without one.
pub fn join<S: AsRef<str>>(sentences: &[S]) -> String {
    let mut text = String::new();
    for sentence in sentences {
        let sentence = sentence.as_ref();
        if !text.is_empty() && !sentence.starts_with(char::is_whitespace) && needs_space(&text) {
            text.push(' ');
        }
        text.push_str(sentence);
    }
    text.trim().to_owned()
}

/// Scripts whose sentences stand side by side need none.
fn needs_space(text: &str) -> bool {
    !text.ends_with(['。', '！', '？'])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn say(index: u32, sentence: &str) -> ReplyAction {
        ReplyAction::Say { index, sentence: sentence.to_owned() }
    }

    #[test]
    fn sentences_leave_as_soon_as_they_end() {
        let mut reply = Reply::new(1, 0, None);
        assert_eq!(reply.step(ReplyInput::Begin), [ReplyAction::Ask(0)]);
        assert_eq!(reply.step(ReplyInput::Text("One. Tw")), [say(0, "One.")]);
        assert_eq!(reply.step(ReplyInput::Text("o")), []);
        assert_eq!(reply.step(ReplyInput::Ended), [say(1, " Two"), ReplyAction::Finish]);
        assert_eq!(reply.step(ReplyInput::Text("late")), [], "a finished reply stays finished");
    }

    #[test]
    fn what_was_spoken_as_one_is_not_cut() {
        let mut reply = Reply::new(1, 0, None);
        reply.step(ReplyInput::Begin);
        assert_eq!(reply.step(ReplyInput::Sentence("Yes. We do.")), [say(0, "Yes. We do.")]);
        assert_eq!(reply.step(ReplyInput::Sentence(" ")), [], "nothing is said with no words");
        assert_eq!(reply.step(ReplyInput::Ended), [ReplyAction::Finish]);
    }

    #[test]
    fn a_model_that_fails_before_a_sentence_gives_way_to_the_next() {
        let mut reply = Reply::new(2, 0, None);
        reply.step(ReplyInput::Begin);
        assert_eq!(reply.step(ReplyInput::Text("Half a sen")), []);
        assert_eq!(reply.step(ReplyInput::Failed), [ReplyAction::Ask(1)]);
        assert_eq!(reply.step(ReplyInput::Text("Whole.")), []);
        let end = reply.step(ReplyInput::Ended);
        assert_eq!(end, [say(0, "Whole."), ReplyAction::Finish], "the half is not in it");
    }

    #[test]
    fn a_model_sent_away_in_the_middle_is_asked_for_what_follows_the_sentences_that_stand() {
        let mut reply = Reply::new(2, 0, None);
        reply.step(ReplyInput::Begin);
        assert_eq!(reply.step(ReplyInput::Text("Whole. Half")), [say(0, "Whole.")]);
        for _ in 0..3 {
            assert_eq!(reply.step(ReplyInput::GoesOn), [ReplyAction::Ask(0)]);
        }
        assert_eq!(reply.step(ReplyInput::Text("The rest.")), []);
        assert_eq!(reply.step(ReplyInput::Ended), [say(1, "The rest."), ReplyAction::Finish]);
    }

    #[test]
    fn an_empty_answer_is_a_failure() {
        let mut reply = Reply::new(2, 0, None);
        reply.step(ReplyInput::Begin);
        assert_eq!(reply.step(ReplyInput::Text(" \n ")), []);
        assert_eq!(reply.step(ReplyInput::Ended), [ReplyAction::Ask(1)]);
    }

    #[test]
    fn the_caller_is_never_left_without_a_word() {
        let mut reply = Reply::new(1, 0, None);
        reply.step(ReplyInput::Begin);
        let [first, second] = sentences(RECOVERY).try_into().unwrap();
        let recovery = [say(0, &first), say(1, &second), ReplyAction::Finish];
        assert_eq!(reply.step(ReplyInput::Failed), recovery);
        let mut slow = Reply::new(2, 0, None);
        slow.step(ReplyInput::Begin);
        assert_eq!(slow.step(ReplyInput::OutOfTime), recovery);
    }

    #[test]
    fn a_model_that_breaks_off_is_asked_once_to_go_on_and_no_other_is() {
        let mut reply = Reply::new(2, 0, None);
        reply.step(ReplyInput::Begin);
        assert_eq!(reply.step(ReplyInput::Text("One. Two is cut")), [say(0, "One.")]);
        assert_eq!(reply.step(ReplyInput::Failed), [ReplyAction::Ask(0)]);
        assert_eq!(reply.step(ReplyInput::Text("Two.")), []);
        assert_eq!(reply.step(ReplyInput::Failed), [ReplyAction::Finish]);
    }

    #[test]
    fn a_second_run_goes_on_with_the_model_that_began() {
        let mut reply = Reply::new(3, 2, Some(1));
        assert_eq!(reply.step(ReplyInput::Begin), [ReplyAction::Ask(1)]);
        assert_eq!(reply.step(ReplyInput::Text("Third. ")), [say(2, "Third.")]);
        assert_eq!(reply.step(ReplyInput::Ended), [ReplyAction::Finish]);
    }

    #[test]
    fn a_model_gets_what_it_asked_for_and_goes_on() {
        let request = |place: &str| {
            ToolRequest::Weather(tool::Weather { place: Some(place.into()), date: None })
        };
        let run = |place, index, at: &str| ReplyAction::Run {
            place,
            call: Call { index, request: request(at) },
        };
        let mut reply = Reply::new(2, 0, None);
        reply.step(ReplyInput::Begin);
        assert_eq!(reply.step(ReplyInput::Text("Let me look.")), []);
        let asked = vec![
            Ok(request("Toronto")),
            Err(ArgumentError::NoSuchTool),
            Ok(request("Toronto")),
            Ok(request("Ottawa")),
        ];
        let refused = ReplyAction::Refuse { place: 1, why: "there is no such tool".into() };
        assert_eq!(
            reply.step(ReplyInput::Asked(asked)),
            [
                say(0, "Let me look."),
                run(0, 0, "Toronto"),
                refused,
                run(2, 0, "Toronto"),
                run(3, 1, "Ottawa"),
                ReplyAction::Ask(0)
            ],
            "what was asked twice is one call"
        );
        reply.step(ReplyInput::Text("Sunny."));
        assert_eq!(reply.step(ReplyInput::Ended), [say(1, "Sunny."), ReplyAction::Finish]);
    }

    #[test]
    fn a_model_that_loops_on_tools_gives_way_to_the_next() {
        let mut reply = Reply::new(2, 0, None);
        reply.step(ReplyInput::Begin);
        let asked = || ReplyInput::Asked(vec![Ok(ToolRequest::PauseRecording)]);
        for _ in 0..ROUNDS_MAX {
            assert_eq!(reply.step(asked()).last(), Some(&ReplyAction::Ask(0)));
        }
        assert_eq!(reply.step(asked()), [ReplyAction::Ask(1)]);
    }

    #[test]
    fn what_cannot_be_had_is_told_once_and_then_the_next_model_is_asked() {
        let mistake = || ReplyInput::Asked(vec![Err(ArgumentError::NoSuchTool)]);
        let mut reply = Reply::new(2, 0, None);
        reply.step(ReplyInput::Begin);
        let told = ReplyAction::Refuse { place: 0, why: "there is no such tool".into() };
        assert_eq!(reply.step(mistake()), [told.clone(), ReplyAction::Ask(0)]);
        assert_eq!(reply.step(mistake()), [ReplyAction::Ask(1)]);
        assert_eq!(reply.step(mistake()), [told, ReplyAction::Ask(1)], "the next one starts anew");
    }

    #[test]
    fn a_promise_is_never_the_last_word() {
        let asked = || ReplyInput::Asked(vec![Ok(ToolRequest::PauseRecording)]);
        let ends = [ReplyInput::Ended, ReplyInput::OutOfTime, ReplyInput::OverBudget];
        for end in ends {
            let mut reply = Reply::new(2, 0, None);
            reply.step(ReplyInput::Begin);
            reply.step(ReplyInput::Text("Let me look."));
            reply.step(asked());
            let last = reply.step(end.clone());
            assert_eq!(last.len(), 3, "{end:?}: {last:?}");
            assert_eq!(last[0], say(1, " Sorry, I am having trouble right now."));

            let mut reply = Reply::new(2, 0, None);
            reply.step(ReplyInput::Begin);
            reply.step(ReplyInput::Text("Let me see."));
            reply.step(asked());
            reply.has_done(Some("You are booked.".into()));
            let told = [say(1, " You are booked."), ReplyAction::Finish];
            assert_eq!(reply.step(end), told, "what was done is told");
        }
    }

    #[test]
    fn what_was_done_is_told_where_no_model_is_left() {
        let mut reply = Reply::new(1, 0, None);
        reply.step(ReplyInput::Begin);
        reply.step(ReplyInput::Asked(vec![Ok(ToolRequest::PauseRecording)]));
        reply.has_done(Some("You are booked.".into()));
        assert_eq!(
            reply.step(ReplyInput::Failed),
            [say(0, "You are booked."), ReplyAction::Finish]
        );
    }

    #[test]
    fn endless_text_ends() {
        let rubbish = "x".repeat(REPLY_BYTES_MAX + 1);
        let mut reply = Reply::new(2, 0, None);
        reply.step(ReplyInput::Begin);
        assert_eq!(reply.step(ReplyInput::Text(&rubbish)), [ReplyAction::Ask(1)]);
        reply.step(ReplyInput::Text("One. "));
        assert_eq!(reply.step(ReplyInput::Text(&rubbish)), [ReplyAction::Finish]);
    }

    #[test]
    fn the_joined_reply_is_what_the_model_wrote() {
        assert_eq!(join(&["One.", "\n\nTwo.", " Three"]), "One.\n\nTwo. Three");
        assert_eq!(
            join(&["One.", "Two went on after a crash."]),
            "One. Two went on after a crash."
        );
    }
}
