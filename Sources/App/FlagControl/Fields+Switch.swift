package import HTTP
import Streams

extension Fields {
  /// The switch in the header `name`; `nil` when it is absent or says nothing.
  package func truth(named name: String) -> Bool? {
    guard let value = first(named: name) else { return nil }
    return CapabilityDetector.truth(value)
  }
}
