//! Alarms and real faults (F4): a mesh is scraped while something of it is wrong, and the rules make of the samples what they
//! should; an hour that goes on as a quiet moment did passes in silence.
//!
//! Time is stretched: what was told at one moment is taken to be told every minute before and after it, so that no fault has to
//! last as long as its alarm waits. `infra/prometheus/alarms_test.yml` tests the times and the words of each alarm on made-up series.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on says so by panicking")]

mod faults;
mod promtool;
mod scene;

use std::collections::BTreeSet;

use promtool::{Case, Course};
use scene::Scene;

#[tokio::test]
async fn each_alarm_fires_when_its_fault_is_made_and_none_in_a_quiet_hour() {
    let scene = Scene::open().await;
    let quiet = Case {
        name: "a quiet hour",
        course: Course::GoesOn,
        samples: scene.quiet().await,
        fires: &[],
        may_fire: &[],
    };
    let cases = [
        quiet,
        faults::a_task_hangs(&scene).await,
        faults::the_sockets_are_full_and_answers_late(&scene).await,
        faults::a_vendor_is_away(&scene).await,
        faults::a_clock_is_ahead(&scene).await,
        faults::postgres_stands_still(&scene).await,
        faults::redis_stands_still(&scene).await,
        faults::messages_are_given_up(&scene).await,
        faults::postgres_is_gone_and_a_send_in_doubt(&scene).await,
    ];
    promtool::judge("real-faults.yml", &cases);
    let made: BTreeSet<String> =
        cases.iter().flat_map(|case| case.fires).map(|alarm| (*alarm).to_owned()).collect();
    assert_eq!(made, promtool::alarms(), "the fault of each is made");
}
