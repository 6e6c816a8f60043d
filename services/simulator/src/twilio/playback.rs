//! What has been sent to the caller and is yet to be played (PROTOCOLS 1.5).

use std::collections::VecDeque;

use domain::g711::SILENCE;

/// Samples in a frame.
pub const FRAME_SAMPLES: usize = 160;
/// A frame's length, milliseconds.
pub const FRAME_MS: u64 = 20;

/// 20 ms of mu-law.
pub type Frame = [u8; FRAME_SAMPLES];

/// No sound.
pub const SILENT_FRAME: Frame = [SILENCE; FRAME_SAMPLES];

/// A queue that plays in order and in real time, one frame per [`Playback::frame`], however fast it was filled.
#[derive(Debug, Default)]
pub struct Playback {
    queue: VecDeque<Item>,
    /// Marks whose audio is in the frame that plays now.
    passed: Vec<String>,
    /// A frame with queued audio plays now.
    playing: bool,
}

#[derive(Debug)]
enum Item {
    Audio(VecDeque<u8>),
    Mark(String),
}

impl Playback {
    /// Adds audio behind all that is queued.
    pub fn push(&mut self, audio: Vec<u8>) {
        if !audio.is_empty() {
            self.queue.push_back(Item::Audio(audio.into()));
        }
    }

    /// Adds a mark behind all that is queued. Where nothing is, it is given back: it returns at once.
    pub fn mark(&mut self, name: String) -> Option<String> {
        if self.is_idle() {
            return Some(name);
        }
        self.queue.push_back(Item::Mark(name));
        None
    }

    /// Drops what is queued and gives all pending marks, which return now.
    pub fn clear(&mut self) -> Vec<String> {
        let queued = std::mem::take(&mut self.queue).into_iter().filter_map(|item| match item {
            Item::Mark(name) => Some(name),
            Item::Audio(_) => None,
        });
        std::mem::take(&mut self.passed).into_iter().chain(queued).collect()
    }

    /// Nothing plays and nothing waits.
    pub fn is_idle(&self) -> bool {
        self.queue.is_empty() && self.passed.is_empty() && !self.playing
    }

    /// Ends the frame that plays and begins the next: the marks that all audio before them has now played, and the
    /// frame.
    pub fn frame(&mut self) -> (Vec<String>, Frame) {
        let mut due = std::mem::take(&mut self.passed);
        let mut frame = SILENT_FRAME;
        let mut filled = 0;
        while let Some(item) = self.queue.front_mut() {
            match item {
                Item::Mark(name) => {
                    let name = std::mem::take(name);
                    if filled == 0 {
                        due.push(name)
                    } else {
                        self.passed.push(name)
                    }
                    self.queue.pop_front();
                }
                Item::Audio(audio) => {
                    if filled == FRAME_SAMPLES {
                        break;
                    }
                    let taken = audio.len().min(FRAME_SAMPLES - filled);
                    for (slot, sample) in frame[filled..].iter_mut().zip(audio.drain(..taken)) {
                        *slot = sample;
                    }
                    filled += taken;
                    if audio.is_empty() {
                        self.queue.pop_front();
                    }
                }
            }
        }
        self.playing = filled > 0;
        (due, frame)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mark_returns_when_the_audio_before_it_has_played() {
        let mut playback = Playback::default();
        playback.push(vec![1; 240]);
        assert_eq!(playback.mark("half".to_owned()), None);
        playback.push(vec![2; 80]);
        assert_eq!(playback.mark("end".to_owned()), None);
        assert_eq!(playback.frame(), (vec![], [1; 160]));
        let (due, frame) = playback.frame();
        assert_eq!((due, &frame[..80], &frame[80..]), (vec![], &[1; 80][..], &[2; 80][..]));
        let (due, frame) = playback.frame();
        assert_eq!((due, frame), (vec!["half".to_owned(), "end".to_owned()], SILENT_FRAME));
    }

    #[test]
    fn a_mark_with_nothing_before_it_returns_at_once() {
        let mut playback = Playback::default();
        assert_eq!(playback.mark("now".to_owned()), Some("now".to_owned()));
        playback.push(vec![1; 160]);
        playback.frame();
        assert_eq!(playback.mark("later".to_owned()), None, "a frame still plays");
        assert_eq!(playback.frame().0, ["later"]);
    }

    #[test]
    fn clear_returns_every_pending_mark_and_silences_what_was_queued() {
        let mut playback = Playback::default();
        playback.push(vec![1; 200]);
        playback.mark("a".to_owned());
        playback.push(vec![1; 200]);
        playback.mark("b".to_owned());
        playback.frame();
        assert_eq!(playback.clear(), ["a", "b"]);
        assert_eq!(playback.frame(), (vec![], SILENT_FRAME));
        assert!(playback.is_idle());
    }
}
