//! How a session ends: on the socket at once, then outside.

use cache::Ended;
use call_core::{EndReason, Input};
use domain::{
    CallEndReason, Channel, Envelope, Handover, Heard, TransferStatus, TransferUpdated, Turn,
};
use tokio::sync::mpsc;

use super::{Session, SocketEnd};
use crate::call::{effects::Effect, settle, socket::Outgoing};

impl Session {
    /// Closes the socket and leaves what remains to a task of its own.
    pub(super) async fn finish(mut self, end: SocketEnd, answers: mpsc::Receiver<Envelope>) {
        self.release();
        let mut reason = match end {
            SocketEnd::Core(EndReason::TimeLimit) => CallEndReason::TimeLimit,
            SocketEnd::Core(EndReason::Stopped) | SocketEnd::Stopped => CallEndReason::Caller,
            SocketEnd::Core(EndReason::CallerSilent | EndReason::Unanswered)
            | SocketEnd::HungUp => CallEndReason::Agent,
            SocketEnd::HandedOver => CallEndReason::Transferred,
            SocketEnd::Lost(_) => CallEndReason::Lost,
        };
        tracing::info!(call = %self.claims.call, ?end, "media stream ended");
        metrics::counter!("edge_calls_ended_total", "reason" => format!("{reason:?}").to_lowercase()).increment(1);
        if let Some((turn, handover)) = self.transfer.take() {
            self.hand_over(turn, &handover).await;
        } else if reason != CallEndReason::Lost {
            // Should this task die between the two, whoever finds its lease lapsed ends the call as it is noted.
            settle::note(&self.services, &self.ending_by(reason, None)).await;
            // Before the socket is closed: Twilio then asks at once what to do with the call.
            if self.services.states.end(&self.claims.call, &self.holder).await == Ended::Elsewhere {
                tracing::info!(call = %self.claims.call, "the call has been taken over");
                reason = CallEndReason::Lost;
                let (cache, queue) = (&self.services.cache, &self.services.own_queue);
                if let Err(error) = cache.forget_ending(queue, &self.claims.call).await {
                    tracing::warn!(call = %self.claims.call, %error, "a call that is elsewhere may be ended here");
                }
            }
        }
        let is_page = self.claims.call.channel() == Channel::BROWSER;
        self.socket.send(match end {
            SocketEnd::Lost(_) if is_page => Outgoing::Leave,
            _ => Outgoing::Close,
        });
        let services = self.services.clone();
        services.unfinished.spawn_on(self.settle(reason, answers), &services.runtime);
    }

    fn ending_by(&self, reason: CallEndReason, heard: Option<Heard>) -> settle::Ending {
        settle::Ending {
            tenant: self.claims.tenant,
            call: self.claims.call.clone(),
            reason,
            started_at: self.started_at,
            heard,
            resumed: self.claims.attempt > 0,
            off_record: self.is_off_record(),
        }
    }

    /// Has Twilio call the human. Where it does not answer, it asks what to do once the socket is closed, and is told then.
    async fn hand_over(&self, turn: u32, handover: &Handover) {
        let (services, call) = (&self.services, &self.claims.call);
        let taken = self.wire_turn(turn);
        // Whoever goes on with the call, should nobody take it, counts its turns from there.
        let (_, fence) = tokio::join!(
            services.transfers.begin(call, handover, &self.settings),
            services.cache.set_fence(call, taken),
        );
        if let Err(error) = fence {
            tracing::warn!(%call, %error, "turn fence not set");
        }
        let query = format!("attempt={}&turn={}", self.claims.attempt + 1, taken.next().0);
        let document = services.transfers.document(call, handover.to.reveal(), &query);
        if let Err(error) = services.transfers.update(call, &document).await {
            tracing::warn!(%call, %error, "call handed over by closing its stream");
        }
    }

    /// Ends the call in the core, which may await the caller's last words, and then outside.
    async fn settle(mut self, reason: CallEndReason, mut answers: mpsc::Receiver<Envelope>) {
        match reason {
            CallEndReason::Lost => self.input(Input::Lost),
            _ => self.input(Input::Stop),
        }
        while let (None, Some(wake)) = (&self.ended, self.core_due()) {
            tokio::select! {
                Some(answer) = answers.recv() => self.answer(answer),
                () = tokio::time::sleep_until(wake) => self.input(Input::Tick),
            }
        }
        let heard = self.ended.take().and_then(|(_, heard)| heard);
        if reason == CallEndReason::Transferred {
            let turn = heard.as_ref().map_or(0, |heard| heard.turn.0);
            let told = TransferUpdated {
                call: self.claims.call.clone(),
                status: TransferStatus::Dialled,
                heard,
            };
            let event = self.envelope(&format!("transfer:dialled:{turn}"), 0, told);
            self.effects.push(Effect::Event(event.with_turn(Turn(turn))));
            let Self { effects, parts, _entered, _heartbeat, .. } = self;
            drop((_entered, _heartbeat));
            // Neither the call nor its recording is over: the caller may come back.
            parts.finish().await;
            return effects.finish().await;
        }
        let ending = self.ending_by(reason, heard);
        let Self { services, effects, parts, _entered, _heartbeat, .. } = self;
        // This task no longer holds the call: a lost one may come back elsewhere.
        drop((_entered, _heartbeat));
        settle::settle_session(services, ending, effects, parts).await;
    }
}
