//! How a session ends: on the socket at once, then outside.

use call_core::{EndReason, Input};
use domain::{CallEndReason, Envelope};
use tokio::sync::mpsc;

use super::{Session, SocketEnd};
use crate::call::{settle, socket::Outgoing};

impl Session {
    /// Closes the socket and leaves what remains to a task of its own.
    pub(super) async fn finish(mut self, end: SocketEnd, answers: mpsc::Receiver<Envelope>) {
        self.release();
        let reason = match end {
            SocketEnd::Core(EndReason::TimeLimit) => CallEndReason::TimeLimit,
            SocketEnd::Core(EndReason::Stopped) | SocketEnd::Stopped => CallEndReason::Caller,
            SocketEnd::HungUp => CallEndReason::Agent,
            SocketEnd::Lost(_) => CallEndReason::Lost,
        };
        tracing::info!(call = %self.claims.call, ?end, "media stream ended");
        metrics::counter!("edge_calls_ended_total", "reason" => format!("{reason:?}").to_lowercase()).increment(1);
        if reason != CallEndReason::Lost {
            // Before the socket is closed: Twilio then asks at once what to do with the call.
            self.services.states.set_ended(&self.claims.call).await;
        }
        self.socket.send(Outgoing::Close);
        let services = self.services.clone();
        services.unfinished.spawn_on(self.settle(reason, answers), &services.runtime);
    }

    /// Ends the call in the core, which may await the caller's last words, and then outside.
    async fn settle(mut self, reason: CallEndReason, mut answers: mpsc::Receiver<Envelope>) {
        match reason {
            CallEndReason::Lost => self.input(Input::Lost),
            _ => self.input(Input::Stop),
        }
        while self.ended.is_none() {
            let (wake, _) = self.wakes();
            tokio::select! {
                Some(answer) = answers.recv() => self.answer(answer),
                () = tokio::time::sleep_until(wake) => self.input(Input::Tick),
            }
        }
        let heard = self.ended.take().and_then(|(_, heard)| heard);
        let ending = settle::Ending {
            tenant: self.claims.tenant,
            call: self.claims.call.clone(),
            reason,
            started_at: self.started_at,
            heard,
            parts_before: self.parts_before,
        };
        let Self { services, effects, parts, _entered, _heartbeat, .. } = self;
        // This task no longer holds the call: a lost one may come back elsewhere.
        drop((_entered, _heartbeat));
        settle::settle_session(services, ending, effects, parts).await;
    }
}
