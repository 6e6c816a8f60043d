//! Audio of sentences that are said often.

use crate::cache;

#[tokio::test]
async fn of_a_thousand_sentences_those_not_used_lately_make_room() {
    let cache = cache();
    for n in 0..1000 {
        assert!(cache.keep_audio(&format!("s{n:04}"), &[n as u8; 10]).await.unwrap());
    }
    assert!(cache.audio("s0999").await.unwrap().is_some());
    for n in 1000..1005 {
        assert!(cache.keep_audio(&format!("s{n:04}"), b"new").await.unwrap());
    }
    let mut kept = 0;
    for n in 0..1005 {
        kept += usize::from(cache.audio(&format!("s{n:04}")).await.unwrap().is_some());
    }
    assert_eq!(kept, 1000);
    assert_eq!(cache.audio("s1004").await.unwrap(), Some(b"new".to_vec()));
    assert_eq!(cache.audio("s0000").await.unwrap(), None, "the first to come was used last of all");
}

#[tokio::test]
async fn what_is_long_is_not_kept() {
    let cache = cache();
    assert!(!cache.keep_audio("long", &vec![0; 80_001]).await.unwrap());
    assert_eq!(cache.audio("long").await.unwrap(), None);
    assert!(cache.keep_audio("short", &[0xFF; 160]).await.unwrap());
    assert_eq!(cache.audio("short").await.unwrap(), Some(vec![0xFF; 160]));
}
