import Harness
import Time

struct DemoError: Error, CustomStringConvertible {
  let description: String

  init(_ description: String) {
    self.description = description
  }
}

/// What every client got, and how the switches went.
struct DemoCast {
  var direct = ClientResult()
  var legacy = ClientResult()
  var shield = ClientResult()
  var graceful = ClientResult()
  /// The old client while the flag says graceful: nothing has changed for it.
  var bystander = ClientResult()
  /// Clients that don't opt in and don't hang up either, for comparing bytes.
  var patientDirect = ClientResult()
  var patientLegacy = ClientResult()
  /// The new client whose stream was open when the flag was killed.
  var killed = ClientResult()
  var toShield = Switch()
  var toGraceful = Switch()
  var kill = Switch()
  /// The gateway's own counters of what graceful would have saved, by name.
  var shadow: [String: Int] = [:]

  /// How long it took from the write of the flag file to the first stream that follows it.
  struct Switch {
    var time = Nanoseconds.zero

    var text: String { "\(Int(time.milliseconds.rounded(.up))) ms" }
  }
}
