import Streams

/// What a client asks of a run, beyond its request.
struct RunWish {
  /// The last event that it has.
  var lastID: [UInt8]?
  /// Whether it asked for a run that is not known here: it must be told, and gets a new one.
  var isForeign = false
  /// Whether it asked by a key or a name, so that asking again begins a run where there is none.
  var mayAskAgain = false
  /// What becomes of the run when it leaves.
  var policy: DisconnectPolicy?
  /// Its own name for its stream, of which it wants but one.
  var clientStream: Digest?
  /// Its own name for its message.
  var clientMessage: [UInt8]?
}
