//! What an earlier release wrote must decode for ever (DESIGN 2, "Envelope").
//!
//! `golden/{payload}.hex` holds the bytes of each payload as the release wrote them that added it. A
//! file is never changed; a new payload adds one (run with `WIRE_GOLDEN=write` to make it).

#![allow(clippy::unwrap_used, reason = "a test that cannot go on says so by panicking")]

mod samples;

use std::{fs, path::PathBuf};

use domain::{Envelope, Payload, Timestamp};
use wire::{ClaimCheck, Decoded, Head};

fn file_of(envelope: &Envelope) -> PathBuf {
    let name = format!("{}.hex", envelope.payload.name());
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/golden").join(name)
}

fn whole(bytes: &[u8]) -> Envelope {
    match wire::decode(bytes).unwrap() {
        Decoded::Whole(envelope) => envelope,
        Decoded::Claimed(claim) => panic!("a claim check: {claim:?}"),
    }
}

#[test]
fn every_payload_has_a_sample() {
    let mut sampled: Vec<_> = samples::all().iter().map(|e| e.payload.name()).collect();
    sampled.dedup();
    assert_eq!(sampled, Payload::NAMES);
}

#[test]
fn what_an_earlier_release_wrote_means_the_same_today() {
    for sample in samples::first_of_each() {
        let file = file_of(&sample);
        if std::env::var("WIRE_GOLDEN").is_ok_and(|v| v == "write") && !file.exists() {
            fs::write(&file, to_hex(&wire::encode(&sample))).unwrap();
        }
        let written = fs::read_to_string(&file).unwrap_or_else(|e| panic!("{file:?}: {e}"));
        assert_eq!(whole(&from_hex(&written)), sample, "{file:?}");
        assert_eq!(to_hex(&wire::encode(&sample)), written.trim(), "{file:?}");
    }
}

#[test]
fn an_e_mail_means_the_same_today() {
    let sample = samples::envelope(samples::mailed());
    let file = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/golden/MessageSent-mail.hex");
    if std::env::var("WIRE_GOLDEN").is_ok_and(|v| v == "write") && !file.exists() {
        fs::write(&file, to_hex(&wire::encode(&sample))).unwrap();
    }
    let written = fs::read_to_string(&file).unwrap_or_else(|e| panic!("{file:?}: {e}"));
    assert_eq!(whole(&from_hex(&written)), sample);
    assert_eq!(to_hex(&wire::encode(&sample)), written.trim());
}

#[test]
fn every_variant_survives_the_trip() {
    for sample in samples::all() {
        assert_eq!(whole(&wire::encode(&sample)), sample);
        let body = wire::to_body(&wire::encode(&sample));
        assert_eq!(whole(&wire::from_body(&body).unwrap()), sample);
    }
}

/// A field number no release has used.
const FIELD_OF_A_LATER_RELEASE: &[u8] = &[0xfa, 0x3e, 3, b'n', b'e', b'w'];

#[test]
fn fields_of_a_later_release_are_read_over_and_survive_a_replay() {
    let sample = samples::first_of_each().remove(2);
    let mut bytes = wire::encode(&sample);
    bytes.extend(FIELD_OF_A_LATER_RELEASE);
    assert_eq!(whole(&bytes), sample);
    let expires = Timestamp::from_micros(99);
    let again = wire::readdress(&bytes, 2, Some(expires));
    assert!(again.windows(FIELD_OF_A_LATER_RELEASE.len()).any(|w| w == FIELD_OF_A_LATER_RELEASE));
    assert_eq!(whole(&again), Envelope { replays: 2, expires_at: Some(expires), ..sample });
}

#[test]
fn the_head_of_a_pointer_says_what_the_envelope_says_and_what_its_replay_changed() {
    let sample = samples::first_of_each().remove(2);
    let claim = ClaimCheck { bucket: "a-bucket".into(), key: "a/key".into() };
    let pointer = wire::encode_claim(&sample, &claim);
    let head = wire::head(&wire::encode(&sample)).unwrap();
    assert_eq!(wire::head(&pointer).unwrap(), head);
    assert_eq!((head.event_id, head.occurred_at), (sample.event_id, sample.occurred_at));
    let again = wire::head(&wire::readdress(&pointer, 2, None)).unwrap();
    assert_eq!(again, Head { replays: 2, ..head });
    assert!(wire::head(&[]).unwrap_err().to_string().contains("event_id"));
}

#[test]
fn what_is_wrong_with_a_message_is_named() {
    let sample = samples::first_of_each().remove(0);
    let wrong = |change: &dyn Fn(&mut Vec<u8>)| {
        let mut bytes = wire::encode(&sample);
        change(&mut bytes);
        wire::decode(&bytes).unwrap_err().to_string()
    };
    // The tenant (field 2) once more, as text that is no UUID: the last one wins.
    assert!(wrong(&|b| b.extend([0x12, 2, b'h', b'i'])).contains("tenant"));
    assert!(wrong(&|b| b.truncate(b.len() - 3)).contains("protobuf"));
    assert!(wire::decode(&[]).is_err());
    assert!(wire::from_body("no base64!").unwrap_err().to_string().contains("base64"));
}

#[test]
fn no_bytes_make_decoding_panic() {
    let mut state = 0x2545_f491_4f6c_dd1d_u64;
    let mut random = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state
    };
    for sample in samples::all() {
        let good = wire::encode(&sample);
        for _ in 0..500 {
            let mut bytes = good.clone();
            let at = random() as usize % bytes.len();
            bytes[at] = random() as u8;
            let _ = wire::decode(&bytes);
        }
    }
}

fn to_hex(bytes: &[u8]) -> String {
    bytes.iter().map(|b| format!("{b:02x}")).collect()
}

fn from_hex(text: &str) -> Vec<u8> {
    let digits = text.trim();
    (0..digits.len())
        .step_by(2)
        .map(|i| u8::from_str_radix(&digits[i..i + 2], 16).unwrap())
        .collect()
}
