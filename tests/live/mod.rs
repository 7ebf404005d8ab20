//! Real servers, well and sick: started here, on free ports, in private folders.

mod http;
mod nats;
mod redis;
