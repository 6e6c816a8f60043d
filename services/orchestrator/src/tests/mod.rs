//! Turns over real Redis and PostgreSQL, and a model behind real HTTP.

mod desk;
mod model_server;
mod survival;
mod tools;
mod turns;
