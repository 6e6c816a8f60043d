use super::*;
use domain::g711;

const FRAME_SAMPLES: usize = 160;
const SENTENCES: [&str; 6] = [
    "Hello, this is the front desk. How can I help you today?",
    "Your number is +1 (555) 010-0001; is that right?",
    "The SMS from ACME was sent to Zoë at 14:30, for $12.50 & more.",
    "Donaudampfschifffahrtsgesellschaftskapitän means 'captain' in München.",
    "日本語 and emoji 🙂 arrive as well…",
    "I",
];

/// What mu-law leaves of a signal.
fn over_the_phone(samples: &[i16]) -> Vec<i16> {
    samples.iter().map(|sample| g711::decode(g711::encode(*sample))).collect()
}

fn noise(samples: usize, amplitude: i32, seed: u32) -> Vec<i16> {
    let mut state = seed;
    std::iter::repeat_with(|| {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (((i64::from(state >> 8) * i64::from(2 * amplitude)) >> 24) as i32 - amplitude) as i16
    })
    .take(samples)
    .collect()
}

#[test]
fn what_is_said_is_what_is_heard() {
    for sentence in SENTENCES {
        let decoded = decode(&over_the_phone(&encode(sentence)));
        assert_eq!(decoded.text(), sentence);
        assert!(decoded.is_whole(), "{sentence}: {:?}", decoded.faults);
    }
}

#[test]
fn every_ascii_character_and_any_run_of_capitals_comes_back() {
    let printable: String = (b'!'..=b'~').map(char::from).collect();
    for text in [
        &printable,
        "aBCdEF GHi JKLMNOPQRSTUVWXYZABCDEFGHIJ k",
        "x\u{ff}\u{100}\u{fff}\u{1000}\u{10ffff}",
    ] {
        assert_eq!(decode(&encode(text)).text(), text);
    }
}

#[test]
fn white_space_becomes_one_space_and_nothing_is_silent() {
    assert_eq!(decode(&encode(" one\n\t two  ")).text(), "one two");
    assert!(encode(" \n").is_empty());
}

#[test]
fn speech_is_found_at_any_offset_between_silence_and_noise() {
    let sentence = "Is 2 pm all right?";
    for offset in (0..FRAME_SAMPLES).step_by(7) {
        let mut audio = vec![0; 800 + offset];
        audio.extend(noise(1600, 3000, offset as u32));
        let start = audio.len() as u64;
        audio.extend(encode(sentence));
        let end = audio.len() as u64;
        audio.extend(noise(900, 400, 7));
        let decoded = decode(&over_the_phone(&audio));
        assert_eq!(decoded.text(), sentence);
        assert!(decoded.is_whole());
        assert_eq!(decoded.words[0].span.start, start, "offset {offset}");
        assert_eq!(decoded.words.last().map(|word| word.span.end), Some(end));
    }
}

#[test]
fn speech_is_understood_over_a_noisy_line_and_at_another_loudness() {
    let sentence = "My name is Ada Lovelace.";
    let clean = encode(sentence);
    let hiss = noise(clean.len(), 2000, 3);
    for (numerator, denominator) in [(1, 4), (1, 1), (3, 2)] {
        let audio: Vec<i16> = clean
            .iter()
            .zip(&hiss)
            .map(|(voice, hiss)| {
                ((i32::from(*voice) + i32::from(*hiss)) * numerator / denominator) as i16
            })
            .collect();
        assert_eq!(
            decode(&over_the_phone(&audio)).text(),
            sentence,
            "at {numerator}/{denominator}"
        );
    }
}

/// Damages one frame of a sentence that lies at an offset to the frames, and checks that the sentence is then not
/// understood, that the fault is seen, and that every word away from the damage is.
fn every_frame_matters(damage: impl Fn(&mut Vec<i16>, usize)) {
    let sentence = "Yes, aaaa 0000 is mine.";
    let spoken = encode(sentence);
    for offset in [0, 37, 80, 96, 159] {
        let mut audio = vec![0; FRAME_SAMPLES + offset];
        let speech = audio.len()..audio.len() + spoken.len();
        audio.extend(&spoken);
        audio.resize(audio.len().next_multiple_of(FRAME_SAMPLES) + 3 * FRAME_SAMPLES, 0);
        let whole = decode(&audio);
        assert_eq!(whole.text(), sentence);
        for at in (0..speech.end).step_by(FRAME_SAMPLES) {
            // 6 ms at the very ends, fades included, are too little to be missed.
            if speech.end.min(at + FRAME_SAMPLES).saturating_sub(speech.start.max(at)) < 48 {
                continue;
            }
            let mut damaged = audio.clone();
            damage(&mut damaged, at);
            let heard = decode(&over_the_phone(&damaged));
            assert!(!heard.is_whole(), "offset {offset}, sample {at}");
            assert_ne!(heard.text(), sentence, "offset {offset}, sample {at}");
            let reach = at as u64..(at + 2 * FRAME_SAMPLES) as u64;
            let spared =
                |word: &&Word| word.span.end <= reach.start || reach.end <= word.span.start;
            let mut heard = heard.words.iter().map(|word| &word.text);
            for word in whole.words.iter().filter(spared) {
                assert!(
                    heard.any(|text| *text == word.text),
                    "offset {offset}, sample {at}: {} is lost",
                    word.text
                );
            }
        }
    }
}

#[test]
fn a_lost_frame_loses_its_word() {
    every_frame_matters(|audio, at| {
        audio.drain(at..at + FRAME_SAMPLES);
    });
}

#[test]
fn a_frame_of_silence_in_place_of_speech_loses_its_word() {
    every_frame_matters(|audio, at| audio[at..at + FRAME_SAMPLES].fill(0));
}

#[test]
fn a_repeated_frame_loses_its_word() {
    every_frame_matters(|audio, at| {
        let frame = audio[at..at + FRAME_SAMPLES].to_vec();
        audio.splice(at..at, frame);
    });
}

#[test]
fn a_frame_in_place_of_the_next_loses_its_word() {
    every_frame_matters(|audio, at| audio.copy_within(at..at + FRAME_SAMPLES, at + FRAME_SAMPLES));
}

#[test]
fn frames_out_of_order_lose_their_word() {
    every_frame_matters(|audio, at| audio[at..at + 2 * FRAME_SAMPLES].rotate_left(FRAME_SAMPLES));
}

#[test]
fn a_lost_sample_loses_its_word() {
    let spoken = encode("one two three");
    let middle = decode(&spoken).words[1].span.clone();
    for at in middle.start as usize + 16..middle.end as usize - 16 {
        let mut audio = spoken.clone();
        audio.remove(at);
        assert!(
            ["one", "one two", "one three"].contains(&decode(&audio).text().as_str()),
            "sample {at}"
        );
    }
}

#[test]
fn a_clipped_first_word_is_not_given() {
    let spoken = encode("please wait");
    let end = decode(&spoken).words[0].span.end as usize;
    for clipped in (FRAME_SAMPLES / 2..end).step_by(FRAME_SAMPLES / 2) {
        let decoded = decode(&spoken[clipped..]);
        assert_eq!(decoded.text(), "wait", "clipped by {clipped}");
        assert!(!decoded.is_whole());
    }
}

#[test]
fn a_cut_sentence_is_understood_up_to_the_cut() {
    let spoken = encode(SENTENCES[0]);
    let whole = decode(&spoken);
    for cut in (0..spoken.len()).step_by(97) {
        let decoded = decode(&spoken[..cut]);
        let complete = whole.words.iter().filter(|word| word.span.end as usize <= cut).count();
        assert_eq!(decoded.words.len(), complete, "cut at {cut}");
        assert!(!decoded.is_whole());
    }
}

#[test]
fn the_rest_of_a_long_word_is_not_joined_to_a_stranger() {
    let text = "the Donaudampfschifffahrtsgesellschaft";
    let spoken = encode(text);
    let whole = decode(&spoken);
    assert!(whole.words.len() > 3 && whole.text() == text);
    let mut audio = spoken;
    let first_piece = whole.words[1].span.start as usize;
    audio.drain(first_piece + 1000..first_piece + 1160);
    let heard = decode(&audio);
    assert!(heard.text().starts_with("the ") && heard.text() != text, "{}", heard.text());
}

#[test]
fn a_pause_or_another_sound_between_words_is_no_fault() {
    let spoken = encode("well I think so");
    let pause_at = decode(&spoken).words[1].span.start as usize;
    for between in [vec![0; 4000], noise(4000, 5000, 9)] {
        let mut audio = spoken.clone();
        audio.splice(pause_at..pause_at, between);
        let decoded = decode(&over_the_phone(&audio));
        assert_eq!(decoded.text(), "well I think so");
        assert!(decoded.is_whole());
    }
}

#[test]
fn noise_and_silence_say_nothing() {
    assert_eq!(decode(&noise(80_000, 8000, 1)), Decoded::default());
    assert_eq!(decode(&vec![0; 80_000]), Decoded::default());
    assert_eq!(decode(&[]), Decoded::default());
    assert_eq!(decode(&[i16::MIN; 4000]), Decoded::default());
}

#[test]
fn frames_as_they_arrive_give_what_the_whole_gives() {
    let mut audio = noise(3000, 2000, 5);
    for sentence in SENTENCES {
        audio.extend(encode(sentence));
        audio.extend([0; 1000]);
    }
    audio.drain(20_000..20_160);
    let audio = over_the_phone(&audio);
    let whole = decode(&audio);
    let mut receiver = Receiver::default();
    let mut pieces = Decoded::default();
    for frame in audio.chunks(FRAME_SAMPLES) {
        let mut piece = receiver.push(frame);
        pieces.words.append(&mut piece.words);
        pieces.faults.append(&mut piece.faults);
    }
    let mut rest = receiver.finish();
    pieces.words.append(&mut rest.words);
    pieces.faults.append(&mut rest.faults);
    assert_eq!(pieces, whole);
    assert_eq!(whole.faults.first().map(|fault| fault.kind), Some(FaultKind::Damaged));
}

#[test]
fn it_speaks_at_least_eight_characters_a_second() {
    let text = "I would like to book an appointment for Tuesday afternoon, if that is possible.";
    let seconds = encode(text).len() as f64 / f64::from(SAMPLE_RATE_HZ);
    assert!(
        text.len() as f64 / seconds >= 8.0,
        "{} characters a second",
        text.len() as f64 / seconds
    );
}

/// A half-band interpolator: 8 kHz to the 16 kHz that `earshot` takes.
fn to_16_khz(samples: &[i16]) -> Vec<i16> {
    let tap = |n: i32| {
        let x = std::f64::consts::PI * (f64::from(n) + 0.5);
        let window = 0.5 + 0.5 * (x / 16.5).cos();
        x.sin() / x * window
    };
    let taps: Vec<f64> = (-16..16).map(tap).collect();
    let mut doubled = Vec::new();
    for at in 0..samples.len() {
        let between: f64 = (-16..16)
            .zip(&taps)
            .map(|(n, tap)| {
                let place = at as i64 - n;
                let sample = usize::try_from(place).ok().and_then(|place| samples.get(place));
                tap * f64::from(sample.copied().unwrap_or(0))
            })
            .sum();
        doubled.push(samples[at]);
        doubled.push(between.clamp(-32768.0, 32767.0) as i16);
    }
    doubled
}

#[test]
fn voice_activity_takes_it_for_speech_throughout() {
    let mut audio = vec![0; 1600];
    for sentence in SENTENCES {
        audio.extend(encode(sentence));
    }
    let spoken = 3200..2 * audio.len();
    let audio = to_16_khz(&over_the_phone(&audio));
    let mut detector = earshot::Detector::default();
    let scores: Vec<f32> =
        audio.chunks_exact(256).map(|frame| detector.predict_i16(frame)).collect();
    // The detector looks back over 48 ms: the first of speech is scored with the silence before it.
    let speech = &scores[spoken.start / 256 + 4..spoken.end / 256];
    let low = speech.iter().filter(|score| **score < 0.8).count();
    let mut sorted = speech.to_vec();
    sorted.sort_by(f32::total_cmp);
    assert!(
        low * 50 <= speech.len() && sorted[0] > 0.5,
        "{low} of {} frames under 0.8; lowest {:.2}, median {:.2}",
        speech.len(),
        sorted[0],
        sorted[sorted.len() / 2],
    );
}
