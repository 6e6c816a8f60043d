//! Compiles `proto/` without a `protoc` on the machine.

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let root = "../../proto";
    println!("cargo:rerun-if-changed={root}");
    let files = protox::compile(["switchboard/v1/envelope.proto"], [root])?;
    prost_build::Config::new().compile_fds(files)?;
    Ok(())
}
