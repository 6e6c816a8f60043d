//! What a lost task leaves of a recording.

use cache::RecordingBlock;

use crate::{cache, call};

fn block(part: u32, block: u32, code: u8) -> RecordingBlock {
    let at = (block != 1).then_some(u64::from(part) * 80_000 + u64::from(block) * 8_000);
    // 10 ends the line before the audio, and is a code as any other.
    let (caller, agent) = (vec![code; 8_000], vec![10; 8_000]);
    let paused = if block == 0 { "0-160,320-480" } else { "" }.to_owned();
    RecordingBlock { part, block, at, paused, caller, agent }
}

#[tokio::test]
async fn what_is_kept_of_a_recording_is_there_until_its_part_is_stored() {
    let (cache, call) = (cache(), call());
    assert!(!cache.has_recording(&call).await.unwrap());
    cache.keep_recording(&call, &[block(9, 0, 1), block(9, 1, 1)]).await.unwrap();
    cache.keep_recording(&call, &[block(9, 1, 2)]).await.unwrap();
    cache.keep_recording(&call, &[block(10, 0, 3)]).await.unwrap();
    assert!(cache.has_recording(&call).await.unwrap());
    let kept = [block(9, 0, 1), block(9, 1, 2), block(10, 0, 3)];
    assert_eq!(cache.recording(&call).await.unwrap(), kept);

    cache.drop_recorded_part(&call, 1).await.unwrap();
    assert_eq!(cache.recording(&call).await.unwrap(), kept, "10 does not begin with 1");
    cache.drop_recorded_part(&call, 9).await.unwrap();
    assert_eq!(cache.recording(&call).await.unwrap(), kept[2..]);
    cache.drop_recording(&call).await.unwrap();
    assert!(!cache.has_recording(&call).await.unwrap());
}

#[tokio::test]
async fn a_recording_that_nobody_stores_takes_two_megabytes_at_most() {
    let (cache, call) = (cache(), call());
    for part in 0..20 {
        let blocks: Vec<_> = (0..10).map(|n| block(part, n, 1)).collect();
        cache.keep_recording(&call, &blocks).await.unwrap();
    }
    let kept = cache.recording(&call).await.unwrap();
    assert!(kept.len() < 140, "{} blocks", kept.len());
    assert_eq!(kept[0], block(0, 0, 1), "the first stay");
}
