//! Turns over real Redis and PostgreSQL, and a model behind real HTTP.

mod along;
mod bedrock;
mod desk;
mod handed_over;
mod hooks;
mod knowledge;
mod listening;
mod model_server;
mod models;
mod own_tools;
mod replays;
mod scoring;
mod sonic;
mod sonic_server;
mod survival;
mod tools;
mod turns;
