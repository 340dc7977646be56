//! AdTally's beat: puts due periodic tasks on the queue
