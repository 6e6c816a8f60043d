use domain::{AddressMode, TenantId, TenantSettings};
use serde_json::json;
use store::{addresses, seed, tenants};
use testkit::TestDb;

#[tokio::test]
async fn the_mesh_finds_its_tenant_and_addresses_and_seeding_twice_changes_nothing() {
    let Some(db) = TestDb::create().await else { return };
    seed::demo(&db.url()).await.unwrap();
    db.owner().await.execute("UPDATE addresses SET mode = 'gather'", &[]).await.unwrap();
    seed::demo(&db.url()).await.unwrap();
    let store = db.store().await;

    let mut ours = addresses::all(&store).await.unwrap();
    ours.sort_by_key(|a| (a.address.clone(), a.channel.to_string()));
    let seen: Vec<_> = ours.iter().map(|a| (a.channel.as_str(), a.address.as_str())).collect();
    assert_eq!(
        seen,
        [
            ("sms", "+15550100001"),
            ("voice", "+15550100001"),
            ("sms", "+15550100003"),
            ("voice", "+15550100003"),
            ("whatsapp", "106540352242922"),
            ("browser", "demo")
        ]
    );
    assert!(ours.iter().all(|a| a.tenant == seed::DEMO && a.mode == AddressMode::Gather));

    let all = tenants::settings(&store).await.unwrap();
    assert!(all.refused.is_empty(), "{:?}", all.refused);
    assert_eq!(all.good[0].slug, "demo");
    assert_eq!(all.good[0].timezone, "America/Toronto");
}

#[tokio::test]
async fn one_tenants_mistake_does_not_stop_the_others() {
    let Some(db) = TestDb::create().await else { return };
    seed::demo(&db.url()).await.unwrap();
    let wrong = db.add_tenant("wrong").await;
    let owner = db.owner().await;
    owner
        .execute(
            "UPDATE tenants SET settings = '{\"business\": \"B\", \"timezone\": \"Mars/Olympus\"}'
             WHERE slug = 'wrong'",
            &[],
        )
        .await
        .unwrap();
    owner
        .execute(
            "INSERT INTO addresses (channel, address, tenant, mode) VALUES ('voice', '+1', $1, 'gather')",
            &[wrong.as_uuid()],
        )
        .await
        .unwrap();
    let all = tenants::settings(&db.store().await).await.unwrap();
    assert_eq!(all.good.iter().map(|s| s.slug.as_str()).collect::<Vec<_>>(), ["demo"]);
    let (tenant, reason) = &all.refused[0];
    assert_eq!(*tenant, wrong);
    assert!(reason.contains("Mars/Olympus"), "{reason}");
}

#[test]
fn a_wrong_setting_is_refused_by_name() {
    let nobody = TenantId::from_uuid(uuid::Uuid::nil());
    for (wrong, named) in [
        (json!({}), "business"),
        (json!({ "business": "B", "greetign": "Hi" }), "greetign"),
        (json!({ "business": "B", "greeting": " " }), "greeting"),
        (json!({ "business": "B", "voice": { "model": "x" } }), "language"),
        (json!({ "business": "B", "fallback_number": "911" }), "fallback_number"),
        (json!({ "business": "B", "transfer_to": "the desk" }), "transfer_to"),
        (json!({ "business": "B", "transfer_to": "sip:a b@c" }), "transfer_to"),
        (json!({ "business": "B", "stt": ["polly"] }), "stt"),
        (json!({ "business": "B", "tts": [{ "vendor": "aura", "voice": "x" }] }), "tts"),
        (json!({ "business": "B", "recording_consent": "" }), "recording_consent"),
    ] {
        let reason = tenants::parse(nobody, "b", wrong).unwrap_err();
        assert!(reason.contains(named), "{reason}");
    }
    let least = tenants::parse(nobody, "b", json!({ "business": "B" })).unwrap();
    assert_eq!(least.greeting, TenantSettings::default().greeting);
    assert!(least.recording && least.recording_consent.is_none());
    let speech = json!({
        "business": "B", "stt": ["transcribe", "deepgram"],
        "tts": [{ "vendor": "polly", "voice": "Joanna" }, "openai"], "recording": false,
    });
    let settings = tenants::parse(nobody, "b", speech).unwrap();
    assert_eq!(settings.stt, ["transcribe", "deepgram"]);
    let speakers = settings.voice.vendors.iter();
    let speakers: Vec<_> = speakers.map(|v| (v.vendor.as_str(), v.name.as_deref())).collect();
    assert_eq!(speakers, [("polly", Some("Joanna")), ("openai", None)]);
    assert!(!settings.recording);
}
