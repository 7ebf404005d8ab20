//! Real servers, well and sick: started here, on free ports, in private folders.

mod redis;
