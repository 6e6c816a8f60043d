//! The outside world on one machine (DESIGN 8): Twilio, Meta, Deepgram, OpenAI and Amazon's speech and models, each speaking its real protocol
//! under a path prefix of one server, so that the services run unchanged with only their base URLs pointed here.
//!
//! | prefix | vendor |
//! |---|---|
//! | `/twilio` | [`twilio`] |
//! | `/graph` | [`meta`] |
//! | `/deepgram` | [`deepgram`] |
//! | `/openai` | [`openai`] |
//! | `/polly` | [`polly`] |
//! | `/transcribe` | [`transcribe`] |
//! | `/bedrock` | [`bedrock`] |
//! | `/ses` | [`ses`] |
//! | `/weather` | [`weather`] |
//! | `/sim` | control of all of them; [`faults`] |

pub mod audio;
pub mod aws;
pub mod bedrock;
pub mod caller;
pub mod config;
pub mod deepgram;
pub mod espeak;
pub mod faults;
pub mod hearing;
pub mod meta;
pub mod modem;
pub mod openai;
pub mod platform;
pub mod polly;
mod running;
pub mod ses;
mod signal;
pub mod transcribe;
pub mod twilio;
pub mod weather;

use std::net::TcpListener;

use actix_web::{App, HttpServer, dev::Server, middleware::from_fn, web};
use anyhow::Context;

pub use crate::running::Running;

use crate::config::Config;

/// A request body larger than this is refused, bytes. OpenAI takes 25 MB of audio (PROTOCOLS 4).
const BODY_LIMIT_BYTES: usize = 26 * 1024 * 1024;

/// The state of the simulated world, shared by all vendors. Each vendor keeps its own part behind its own lock.
#[derive(Debug, Default)]
pub struct World {
    /// How the simulator was configured.
    pub config: Config,
    /// What goes wrong at which vendor.
    pub faults: faults::Faults,
    /// The voice people understand, with the phrases it has said.
    pub espeak: espeak::Espeak,
    /// The simulated model: its mode and the requests it has seen.
    pub model: openai::Model,
    /// What is taken for said where nobody understands.
    pub guess: hearing::Guess,
    /// Calls, messages and what Twilio was asked for.
    pub twilio: twilio::Twilio,
    /// Chats, media and what Meta was asked for.
    pub meta: meta::Meta,
    /// E-mails that were sent.
    pub post: ses::Post,
}

impl World {
    /// A world in which nothing has happened yet.
    pub fn new(config: Config) -> Self {
        Self { config, ..Self::default() }
    }
}

/// Mounts every vendor and the control paths.
pub fn configure(cfg: &mut web::ServiceConfig) {
    cfg.app_data(web::PayloadConfig::new(BODY_LIMIT_BYTES))
        .app_data(web::JsonConfig::default().limit(BODY_LIMIT_BYTES).content_type_required(false))
        .service(
            web::scope("/deepgram").wrap(from_fn(faults::apply)).configure(deepgram::configure),
        )
        .service(web::scope("/openai").wrap(from_fn(faults::apply)).configure(openai::configure))
        .service(web::scope("/polly").wrap(from_fn(faults::apply)).configure(polly::configure))
        .service(
            web::scope("/transcribe").wrap(from_fn(faults::apply)).configure(transcribe::configure),
        )
        .service(web::scope("/bedrock").wrap(from_fn(faults::apply)).configure(bedrock::configure))
        .service(web::scope("/ses").wrap(from_fn(faults::apply)).configure(ses::configure))
        .service(web::scope("/weather").wrap(from_fn(faults::apply)).configure(weather::configure))
        .service(web::scope("/twilio").wrap(from_fn(faults::apply)).configure(twilio::configure))
        .service(web::scope("/graph").wrap(from_fn(faults::apply)).configure(meta::configure))
        .service(
            web::scope("/sim")
                .configure(faults::control)
                .configure(hearing::control)
                .configure(openai::control)
                .configure(ses::control)
                .configure(twilio::control)
                .configure(meta::control),
        );
}

/// Serves `world` on a listener that is already bound, so that a test may bind port 0 and know the address. The server
/// stops through its handle, or on SIGTERM and Ctrl-C when `signals` is set.
///
/// # Errors
/// When the listener cannot be used.
pub fn serve(
    listener: TcpListener,
    world: web::Data<World>,
    signals: bool,
) -> anyhow::Result<Server> {
    let server = HttpServer::new(move || App::new().app_data(world.clone()).configure(configure))
        .workers(2)
        // Who hangs up is gone: a stream to them ends at once, as it does at a vendor's.
        .h1_allow_half_closed(false)
        .shutdown_timeout(1);
    let server = if signals { server } else { server.disable_signals() };
    Ok(server.listen_auto_h2c(listener).context("listen on the simulator's address")?.run())
}
