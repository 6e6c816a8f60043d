//! Recordings.

use aws_sdk_s3::primitives::ByteStream;
use bus::{Queue, Replay, Source};
use cache::RecordingBlock;
use domain::g711;
use domain::{Envelope, EventId, FinishRecording, Payload, RecordingFinished, Timestamp};
use tokio::time::timeout;

use crate::mesh::{Call, HANG, Inbox, Mesh};

/// 2026-03-01T00:00:01Z.
const BEGAN: Timestamp = Timestamp::from_micros(1_772_323_201_000_000);

impl Mesh {
    async fn put_part(&self, call: &Call, index: u32, side: &str, codes: Vec<u8>) {
        let key = format!("recording-parts/{}/{index:05}.{side}.ulaw", call.sid);
        let body = ByteStream::from(codes);
        self.s3.put_object().bucket(&self.bucket).key(key).body(body).send().await.unwrap();
    }

    /// A part that tells where it lies in the call.
    async fn put_part_at(&self, call: &Call, index: u32, at: u64, code: u8) {
        for side in ["caller", "agent"] {
            let key = format!("recording-parts/{}/{index:05}.{side}.ulaw", call.sid);
            let put = self.s3.put_object().bucket(&self.bucket).key(key);
            let put = put.metadata("at", at.to_string()).body(vec![code; 8_000].into());
            put.send().await.unwrap();
        }
    }

    /// How many parts of the call are stored, of both sides.
    async fn parts(&self, call: &Call) -> usize {
        let list = self.s3.list_objects_v2().bucket(&self.bucket);
        let list = list.prefix(format!("recording-parts/{}/", call.sid));
        list.send().await.unwrap().contents().len()
    }

    async fn until_parts_are_gone(&self, call: &Call) {
        timeout(HANG, async { while self.parts(call).await > 0 {} }).await.unwrap();
    }

    async fn file(&self, key: &str) -> Vec<u8> {
        let file = self.s3.get_object().bucket(&self.bucket).key(key).send().await.unwrap();
        file.body.collect().await.unwrap().to_vec()
    }
}

async fn finished(writer: &mut Inbox) -> (EventId, RecordingFinished) {
    let event = writer.next().await;
    match event.payload {
        Payload::RecordingFinished(finished) => (event.event_id, finished),
        other => panic!("{} is no recording", other.name()),
    }
}

fn finish(call: &Call, parts: u32) -> Envelope {
    call.job(0, FinishRecording { call: call.sid.clone(), started_at: BEGAN, parts })
}

#[tokio::test]
async fn both_sides_of_a_call_lie_in_one_file_sample_by_sample() {
    let Some(mesh) = Mesh::start(&[]).await else { return };
    let mut writer = mesh.inbox(Source::Shared(Queue::Writer));
    let call = Call::new();
    // More parts than are fetched at once, each telling its place.
    let (parts, codes_per_part) = (11_u32, 160_usize);
    let code = |index: u32, side: u8| (index as u8) << 1 | side;
    for index in 0..parts {
        mesh.put_part(&call, index, "caller", vec![code(index, 0); codes_per_part]).await;
        mesh.put_part(&call, index, "agent", vec![code(index, 1); codes_per_part]).await;
    }
    let job = finish(&call, parts);
    mesh.give(Queue::Jobs, &job).await;

    let (event_id, recording) = finished(&mut writer).await;
    assert_eq!(event_id, job.event_id.child("recording-finished"));
    assert_eq!(recording.key, format!("audio-recordings/2026/03/01/{}.wav", call.sid));
    assert_eq!(recording.bucket, mesh.bucket);
    assert_eq!(recording.duration_ms, 220);
    let file = mesh.file(&recording.key).await;
    assert_eq!(recording.bytes, file.len() as u64);
    let wav = frames(&file);
    let expected: Vec<[i16; 2]> = (0..parts)
        .flat_map(|i| vec![[0, 1].map(|s| g711::decode(code(i, s))); codes_per_part])
        .collect();
    assert_eq!(wav, expected);
}

/// The frames of a stereo 16-bit file, read as a player would.
fn frames(file: &[u8]) -> Vec<[i16; 2]> {
    let u16_at = |at: usize| u16::from_le_bytes(file[at..at + 2].try_into().unwrap());
    let u32_at = |at: usize| u32::from_le_bytes(file[at..at + 4].try_into().unwrap());
    assert_eq!((&file[..4], &file[8..16]), (&b"RIFF"[..], &b"WAVEfmt "[..]));
    assert_eq!(u32_at(4) as usize, file.len() - 8);
    assert_eq!((u16_at(20), u16_at(22), u16_at(34)), (1, 2, 16), "PCM, stereo, 16 bit");
    assert_eq!((u32_at(24), u32_at(28), u16_at(32)), (8000, 32_000, 4));
    assert_eq!((&file[36..40], u32_at(40) as usize), (&b"data"[..], file.len() - 44));
    file[44..]
        .chunks_exact(4)
        .map(|f| [i16::from_le_bytes([f[0], f[1]]), i16::from_le_bytes([f[2], f[3]])])
        .collect()
}

#[tokio::test]
async fn a_recording_finished_twice_is_one_event_and_its_parts_are_gone() {
    let Some(mesh) = Mesh::start(&[]).await else { return };
    let mut writer = mesh.inbox(Source::Shared(Queue::Writer));
    let call = Call::new();
    mesh.put_part(&call, 0, "caller", vec![1; 8000]).await;
    mesh.put_part(&call, 0, "agent", vec![2; 8000]).await;
    let job = finish(&call, 1);
    mesh.give(Queue::Jobs, &job).await;
    let (first_id, first) = finished(&mut writer).await;
    assert_eq!(first.duration_ms, 1000);
    mesh.until_parts_are_gone(&call).await;
    let file = mesh.file(&first.key).await;

    // Another delivery of the same job. Its event has the same id, so the broker drops it; the
    // group of the writer's queue is the call's, so the event of a second job shows it was handled.
    mesh.give(Queue::Jobs, &Envelope { replays: 1, ..job.clone() }).await;
    let again = Envelope { event_id: EventId::random(), ..job };
    mesh.give(Queue::Jobs, &again).await;
    let (second_id, second) = finished(&mut writer).await;
    assert_eq!(second_id, again.event_id.child("recording-finished"));
    assert_ne!(second_id, first_id);
    assert_eq!(second, first, "found, not made anew from parts that are gone");
    assert_eq!(mesh.file(&first.key).await, file);
}

#[tokio::test]
async fn a_part_that_is_late_is_waited_for() {
    let Some(mesh) = Mesh::start(&[]).await else { return };
    let mut writer = mesh.inbox(Source::Shared(Queue::Writer));
    let call = Call::new();
    mesh.put_part(&call, 0, "caller", vec![1; 80]).await;
    mesh.give(Queue::Jobs, &finish(&call, 1)).await;
    let other = Call::new();
    mesh.put_part(&other, 0, "caller", vec![1; 80]).await;
    mesh.put_part(&other, 0, "agent", vec![2; 80]).await;
    mesh.give(Queue::Jobs, &finish(&other, 1)).await;
    assert_eq!(finished(&mut writer).await.1.call, other.sid, "it holds up no other recording");
    mesh.put_part(&call, 0, "agent", vec![2; 80]).await;
    assert_eq!(finished(&mut writer).await.1.call, call.sid);
}

#[tokio::test]
async fn what_s3_refuses_of_a_recording_is_tried_again_until_it_is_whole() {
    let Some(mesh) = Mesh::start(&[]).await else { return };
    let mut writer = mesh.inbox(Source::Shared(Queue::Writer));
    // To look for it, to fetch its parts, to store it, to remove them.
    for method in ["HEAD", "GET", "PUT", "POST"] {
        let call = Call::new();
        mesh.put_part_at(&call, 0, 0, 1).await;
        mesh.refusals.begin(method);
        mesh.give(Queue::Jobs, &finish(&call, 1)).await;
        mesh.refusals.seen(2).await;
        mesh.refusals.end();
        let (_, recording) = finished(&mut writer).await;
        assert_eq!(recording.call, call.sid, "{method}");
        let expected = [(g711::decode(1), 8_000)];
        assert_eq!(stretches(&mesh.file(&recording.key).await), expected, "{method}");
        mesh.until_parts_are_gone(&call).await;
    }
}

#[tokio::test]
async fn a_recording_that_s3_never_takes_is_given_up_with_the_reason_and_made_of_its_parts_later() {
    let Some(mesh) = Mesh::start(&[]).await else { return };
    let mut writer = mesh.inbox(Source::Shared(Queue::Writer));
    let call = Call::new();
    mesh.put_part_at(&call, 0, 0, 1).await;
    mesh.refusals.begin("PUT");
    mesh.give(Queue::Jobs, &finish(&call, 1)).await;
    let buried = async {
        loop {
            if let Some(letter) = mesh.bus.take_dead_letters(Queue::Jobs).await.unwrap().pop() {
                return letter;
            }
        }
    };
    let letter = timeout(HANG, buried).await.expect("it is given up");
    assert!(letter.reason.contains("AccessDenied"), "{}", letter.reason);
    assert_eq!(letter.reason.matches("store the recording").count(), 1, "{}", letter.reason);
    assert_eq!(mesh.parts(&call).await, 2);

    mesh.refusals.end();
    let again = Replay { group: letter.group, body: letter.body };
    mesh.bus.replay(Queue::Jobs, &[again]).await.unwrap();
    let (_, recording) = finished(&mut writer).await;
    assert_eq!((recording.call, recording.duration_ms), (call.sid.clone(), 1_000));
    mesh.until_parts_are_gone(&call).await;
}

/// The left side's stretches of the same sample: which, and how many.
fn stretches(file: &[u8]) -> Vec<(i16, usize)> {
    let left: Vec<i16> = frames(file).iter().map(|frame| frame[0]).collect();
    left.chunk_by(|a, b| a == b).map(|stretch| (stretch[0], stretch.len())).collect()
}

#[tokio::test]
async fn a_lost_task_is_silence_in_the_file_from_the_second_it_kept_last() {
    let Some(mesh) = Mesh::start(&[]).await else { return };
    let mut writer = mesh.inbox(Source::Shared(Queue::Writer));
    let call = Call::new();
    let block = |part: u32, block: u32, at: u64, code: u8| RecordingBlock {
        part,
        block,
        at: Some(at),
        paused: if block == 1 { "0-400,800-8000" } else { "0-8000" }.to_owned(),
        caller: vec![code; 8_000],
        agent: vec![code; 8_000],
    };
    mesh.put_part_at(&call, 0, 0, 1).await;
    // The part was stored, and the task lost before it forgot what it kept of it; of the next one side is stored.
    let left = [block(0, 0, 0, 9), block(1, 0, 8_000, 2), block(1, 1, 16_000, 3)];
    mesh.cache.keep_recording(&call.sid, &left).await.unwrap();
    mesh.put_part(&call, 1, "caller", vec![9; 80_000]).await;
    // Back after three seconds.
    mesh.put_part_at(&call, 1_000, 48_000, 4).await;
    mesh.give(Queue::Jobs, &finish(&call, 2)).await;

    let (_, recording) = finished(&mut writer).await;
    let of = |code: u8| g711::decode(code);
    let expected = [(of(1), 8_000), (of(2), 8_000), (of(3), 8_000), (0, 24_000), (of(4), 8_000)];
    assert_eq!(stretches(&mesh.file(&recording.key).await), expected);
    let paused: Vec<_> = recording.paused.iter().map(|span| (span.from_ms, span.to_ms)).collect();
    assert_eq!(paused, [(1_000, 2_050), (2_100, 3_000)]);
    mesh.until_parts_are_gone(&call).await;
    let forgotten = async { while mesh.cache.has_recording(&call.sid).await.unwrap() {} };
    timeout(HANG, forgotten).await.unwrap();
}

#[tokio::test]
async fn a_call_lost_in_its_first_seconds_is_recorded_as_well() {
    let Some(mesh) = Mesh::start(&[]).await else { return };
    let mut writer = mesh.inbox(Source::Shared(Queue::Writer));
    let call = Call::new();
    let (caller, agent) = (vec![1; 8_000], vec![2; 8_000]);
    let kept =
        RecordingBlock { part: 0, block: 0, at: Some(0), paused: String::new(), caller, agent };
    mesh.cache.keep_recording(&call.sid, &[kept]).await.unwrap();
    mesh.give(Queue::Jobs, &finish(&call, 0)).await;
    let (_, recording) = finished(&mut writer).await;
    assert_eq!(recording.duration_ms, 1_000);
}

#[tokio::test]
async fn what_redis_cannot_tell_now_is_not_left_out_of_the_recording() {
    let Some(stores) = testkit::require_stores() else { return };
    let Some(mesh) = Mesh::start(&[]).await else { return };
    let mut writer = mesh.inbox(Source::Shared(Queue::Writer));
    let call = Call::new();
    mesh.put_part_at(&call, 0, 0, 1).await;
    let prefix = mesh.bucket.trim_end_matches("-files");
    let key = format!("{prefix}:{{{}}}:recording", call.sid);
    // Reading it fails, as in an outage.
    stores.redis(&format!("SET {key} x")).await;
    let before = stores.type_errors().await;
    mesh.give(Queue::Jobs, &finish(&call, 1)).await;
    timeout(HANG, async { while stores.type_errors().await == before {} }).await.unwrap();

    stores.redis(&format!("DEL {key}")).await;
    let (caller, agent) = (vec![2; 8_000], vec![2; 8_000]);
    let paused = String::new();
    let left = RecordingBlock { part: 1, block: 0, at: Some(8_000), paused, caller, agent };
    mesh.cache.keep_recording(&call.sid, &[left]).await.unwrap();
    let (_, recording) = finished(&mut writer).await;
    assert_eq!(recording.duration_ms, 2_000);
}
