import Testing

/// The tests of the running program: each starts the real `fermata serve` between a scripted backend and real
/// sockets. One after the other, so that clocks of a few hundred milliseconds mean what they say.
@Suite(.serialized) enum EndToEnd {}
