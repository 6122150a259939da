import Streams

/// What a client asks of a run, beyond its request.
struct RunWish {
  /// The last event that it has.
  var lastID: [UInt8]?
  /// Whether it asked for a run that is not known here: it must be told, and gets a new one.
  var isForeign = false
  /// What becomes of the run when it leaves.
  var policy: DisconnectPolicy?
  /// Its own name for its stream, of which it wants but one.
  var clientStream: Digest?
  /// Its own name for its message.
  var clientMessage: [UInt8]?
}
