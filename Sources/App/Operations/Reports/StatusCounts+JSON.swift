import Gateway
import JSON
import Telemetry

extension StatusCounts {
  /// From the lowest status to the highest.
  var json: JSONValue {
    .object(
      JSONObject(
        StatusLabel.allCases.filter { self[$0] > 0 }.map { .init(name: $0.rawValue, value: JSONValue(self[$0])) }))
  }
}
