use std::process::ExitCode;

/// The end of a service's `main`: a failure goes to standard error as one message with its causes,
/// for the operator who started it, and never with a backtrace.
pub fn exit(ended: anyhow::Result<()>) -> ExitCode {
    match ended {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error:#}");
            ExitCode::FAILURE
        }
    }
}
