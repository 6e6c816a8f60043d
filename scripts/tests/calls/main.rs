//! Whole talks through a whole mesh in real time: what was said and heard on one end is what stands in the history on the
//! other. Each test runs a mesh of its own, from the binaries beside it.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on says so by panicking")]

mod bad_input;
mod booking;
mod clocks;
mod cut_short;
mod desk;
mod gathered;
mod many_calls;
mod many_chats;
mod model;
mod rotation;
mod takeover;
mod talk;
mod transfers;
mod written;

use desk::Desk;
use takeover::Loss;

#[tokio::test]
async fn twenty_calls_at_once_are_heard_kept_and_recorded_word_for_word() {
    let desk = Desk::open("many-calls").await;
    many_calls::twenty_at_once(&desk).await;
    desk.close().await;
}

/// One mesh for all of it, at once: whoever misbehaves disturbs nobody else.
#[tokio::test]
async fn what_people_do_out_of_the_ordinary() {
    let desk = Desk::open("out-of-the-ordinary").await;
    tokio::join!(
        cut_short::spoken_over(&desk),
        cut_short::hung_up_on(&desk),
        cut_short::never_heard(&desk),
        many_chats::bursts(&desk),
        bad_input::refused(&desk),
    );
    desk.close_and_replay().await;
}

#[tokio::test]
async fn a_caller_and_a_writer_leave_with_an_appointment() {
    let desk = Desk::open("booking").await;
    tokio::join!(booking::by_voice(&desk), booking::by_chat(&desk), booking::by_gather(&desk),);
    desk.close().await;
}

#[tokio::test]
async fn a_caller_leaves_with_an_appointment_that_a_model_made() {
    let desk = Desk::open_with("model", &[("SB_LLM", "openai,bedrock,rules")]).await;
    model::book(&desk).await;
    desk.close().await;
}

#[tokio::test]
async fn a_caller_leaves_with_an_appointment_made_by_a_model_that_heard_him() {
    let desk = Desk::open_with("speech", &[("SB_LLM", "rules,openai,sonic")]).await;
    model::book_by_ear(&desk).await;
    desk.close().await;
}

#[tokio::test]
async fn calls_without_a_media_stream() {
    let desk = Desk::open("gathered").await;
    tokio::join!(gathered::said_nothing(&desk), gathered::hung_up(&desk));
    gathered::edge_killed(&desk).await;
    desk.close().await;
}

#[tokio::test]
async fn calls_that_go_to_a_human() {
    let desk = Desk::open("transfers").await;
    transfers::all(&desk).await;
    desk.close().await;
}

/// One after the other, for each takes one of the two tasks away.
#[tokio::test]
async fn calls_go_on_when_their_edge_task_is_lost() {
    let desk = Desk::open("takeover").await;
    for loss in [Loss::Killed, Loss::Stopped] {
        takeover::goes_on(&desk, loss).await;
    }
    desk.close().await;
}

/// In a mesh of its own: a browser takes a whole processor.
#[tokio::test]
async fn a_person_talks_from_the_web_page() {
    let Some(browser) = talk::require_browser() else { return };
    let desk = Desk::open("talk").await;
    talk::talked(&desk, &browser).await;
    talk::came_back(&desk, &browser).await;
    desk.close().await;
}

/// Takes two minutes: the tasks look for new credentials once in one.
#[tokio::test]
async fn credentials_are_rotated_while_people_talk_and_nobody_notices() {
    let issuer = ("SB_JWT_ISSUER", rotation::ISSUER);
    let audience = ("SB_JWT_AUDIENCE", rotation::AUDIENCE);
    // A front end that asks twice a second is no flood here.
    let limit = ("SB_API_REQUESTS_PER_MINUTE", "1000");
    let desk = Desk::open_with("rotation", &[issuer, audience, limit]).await;
    rotation::unnoticed(&desk).await;
    desk.close().await;
}

#[tokio::test]
async fn what_people_send_besides_text() {
    let desk = Desk::open("written").await;
    tokio::join!(written::voice_note(&desk), written::offered_times(&desk));
    desk.close().await;
}

#[tokio::test]
async fn nobody_notices_that_clocks_are_wrong() {
    let desk = Desk::open_with_own_clocks("clocks").await;
    clocks::call(&desk).await;
    clocks::chat(&desk).await;
    desk.close().await;
}
