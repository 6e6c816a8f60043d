//! Audio of a sentence as it comes from a vendor, put together or cut into the parts in which it leaves.

use bytes::{Bytes, BytesMut};
use futures::TryStreamExt as _;
use tokio::sync::mpsc;

use crate::{SAMPLE_RATE_HZ, SpeechError, TextToSpeech, Utterance};

/// No sentence is longer; and its message stays well within what a queue carries (1 MiB).
const LONGEST_SENTENCE_BYTES: usize = 60 * SAMPLE_RATE_HZ as usize;

/// How long a part is, from the first on; the last length holds for all that follow. The first is heard soonest and
/// lasts while the second crosses the queue of a busy broker (0.6 s did not, for 20 callers of a development build on two
/// cores: a word was damaged); each later one may take longer.
const PART_BYTES: [usize; 3] = [9_600, 14_400, 28_800];

/// A part of a sentence's audio.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Part {
    /// Mu-law, 8 kHz, mono.
    pub audio: Bytes,
    /// Whether others follow.
    pub more: bool,
}

/// All that `vendor` says.
pub(crate) async fn whole(
    vendor: &dyn TextToSpeech,
    utterance: &Utterance<'_>,
) -> Result<Bytes, SpeechError> {
    let mut stream = vendor.speak(utterance).await?;
    let mut audio = BytesMut::new();
    while let Some(piece) = stream.try_next().await? {
        audio.extend_from_slice(&piece);
        fits(audio.len())?;
    }
    if audio.is_empty() {
        return Err(SpeechError::Malformed("no audio"));
    }
    Ok(audio.freeze())
}

/// Cuts what vendors say, one after the other, into the parts of one sentence.
pub(crate) struct Cutter {
    parts: mpsc::Sender<Part>,
    /// Parts that have left, and their bytes.
    left: usize,
    left_bytes: usize,
}

impl Cutter {
    pub(crate) fn new(parts: mpsc::Sender<Part>) -> Self {
        Self { parts, left: 0, left_bytes: 0 }
    }

    /// Has `vendor` say all of it, and gives on what has not left yet.
    pub(crate) async fn cut(
        &mut self,
        vendor: &dyn TextToSpeech,
        utterance: &Utterance<'_>,
    ) -> Result<(), SpeechError> {
        let mut stream = vendor.speak(utterance).await?;
        let (mut came, mut passed_over) = (0, self.left_bytes);
        let mut audio = BytesMut::new();
        while let Some(mut piece) = stream.try_next().await? {
            came += piece.len();
            fits(came)?;
            let known = passed_over.min(piece.len());
            passed_over -= known;
            audio.extend_from_slice(&piece.split_off(known));
            // Only with something behind it is it known that more follows.
            while audio.len() > self.next_bytes() {
                let part = audio.split_to(self.next_bytes()).freeze();
                if !self.give(part, true).await {
                    return Ok(());
                }
            }
        }
        if came == 0 {
            return Err(SpeechError::Malformed("no audio"));
        }
        self.give(audio.freeze(), false).await;
        Ok(())
    }

    fn next_bytes(&self) -> usize {
        PART_BYTES[self.left.min(PART_BYTES.len() - 1)]
    }

    /// `false` when nobody takes parts any more.
    async fn give(&mut self, audio: Bytes, more: bool) -> bool {
        self.left += 1;
        self.left_bytes += audio.len();
        self.parts.send(Part { audio, more }).await.is_ok()
    }
}

fn fits(bytes: usize) -> Result<(), SpeechError> {
    match bytes > LONGEST_SENTENCE_BYTES {
        true => Err(SpeechError::Malformed("longer than any sentence")),
        false => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use async_trait::async_trait;
    use domain::{SpeechRate, Voice};
    use futures::{StreamExt as _, stream};

    use super::*;
    use crate::{AudioStream, Vendor};

    /// Says these pieces, and breaks then where it is told to.
    struct Says(Vec<Vec<u8>>, bool);

    impl Vendor for Says {
        fn name(&self) -> &'static str {
            "says"
        }
    }

    #[async_trait]
    impl TextToSpeech for Says {
        fn voice_of(&self, _: &Utterance<'_>) -> String {
            String::new()
        }

        async fn speak(&self, _: &Utterance<'_>) -> Result<AudioStream, SpeechError> {
            let pieces = self.0.clone().into_iter().map(|piece| Ok(Bytes::from(piece)));
            let broken = self.1.then_some(Err(SpeechError::TimedOut));
            Ok(stream::iter(pieces.chain(broken)).boxed())
        }
    }

    fn sound(bytes: usize) -> Vec<u8> {
        (0..bytes).map(|at| (at / 7 % 251) as u8).collect()
    }

    fn in_pieces(sound: &[u8], of: usize) -> Vec<Vec<u8>> {
        sound.chunks(of).map(<[u8]>::to_vec).collect()
    }

    /// The parts of what the vendors say one after the other, and how the last one ended.
    async fn cut(vendors: &[Says]) -> (Vec<Part>, Result<(), SpeechError>) {
        let (send, mut receive) = mpsc::channel(64);
        let mut cutter = Cutter::new(send);
        let voice = Voice::named("v", "en-US");
        let utterance = Utterance { text: "Hello.", voice: &voice, rate: SpeechRate::NORMAL };
        let mut ended = Ok(());
        for vendor in vendors {
            ended = cutter.cut(vendor, &utterance).await;
        }
        drop(cutter);
        let mut parts = Vec::new();
        while let Some(part) = receive.recv().await {
            parts.push(part);
        }
        (parts, ended)
    }

    #[tokio::test]
    async fn a_sentence_leaves_in_the_same_parts_whatever_pieces_it_comes_in() {
        let all = sound(60_000);
        for of in [160, 1_000, 9_600, 7_777, 60_000] {
            let (parts, ended) = cut(&[Says(in_pieces(&all, of), false)]).await;
            assert_eq!(ended, Ok(()));
            let lengths: Vec<_> = parts.iter().map(|p| (p.audio.len(), p.more)).collect();
            let expected = [(9_600, true), (14_400, true), (28_800, true), (7_200, false)];
            assert_eq!(lengths, expected, "in pieces of {of}");
            assert_eq!(parts.iter().flat_map(|p| p.audio.clone()).collect::<Vec<_>>(), all);
        }
    }

    #[tokio::test]
    async fn what_ends_with_a_part_says_so() {
        for (length, expected) in [
            (1, vec![(1, false)]),
            (9_600, vec![(9_600, false)]),
            (9_601, vec![(9_600, true), (1, false)]),
        ] {
            let (parts, _) = cut(&[Says(in_pieces(&sound(length), 160), false)]).await;
            let lengths: Vec<_> = parts.iter().map(|p| (p.audio.len(), p.more)).collect();
            assert_eq!(lengths, expected);
        }
    }

    #[tokio::test]
    async fn a_broken_answer_goes_on_where_it_was() {
        let all = sound(30_000);
        let broken = |bytes: usize| Says(in_pieces(&all[..bytes], 500), true);
        let (parts, ended) =
            cut(&[broken(3_000), broken(15_000), Says(in_pieces(&all, 700), false)]).await;
        assert_eq!(ended, Ok(()));
        assert_eq!(parts.iter().flat_map(|p| p.audio.clone()).collect::<Vec<_>>(), all);
        assert_eq!(parts.iter().filter(|p| !p.more).count(), 1);
    }

    #[tokio::test]
    async fn silence_from_a_vendor_is_a_fault_and_so_is_a_talk_without_end() {
        assert_eq!(
            cut(&[Says(Vec::new(), false)]).await.1,
            Err(SpeechError::Malformed("no audio"))
        );
        let (parts, ended) = cut(&[Says(in_pieces(&sound(500_000), 8_000), false)]).await;
        assert_eq!(ended, Err(SpeechError::Malformed("longer than any sentence")));
        assert!(parts.iter().all(|part| part.more), "the sentence is not said to be over");
    }
}
