/// How much of a client's address the log says.
package enum ClientAddressUse: String, CaseIterable, Sendable {
  case full
  /// The network alone: 24 bits of IPv4, 48 of IPv6.
  case prefix
  case none

  /// - Parameter address: an IP address as text, or `unix`. Anything else becomes empty, but for `full`.
  package func text(of address: String) -> String {
    switch self {
    case .full: address.utf8.allSatisfy { (0x21...0x7E).contains($0) && $0 != 0x22 && $0 != 0x5C } ? address : ""
    case .prefix where address == "unix": address
    case .prefix: address.utf8.contains(UInt8(ascii: ":")) ? Self.prefix6(address) : Self.prefix4(address)
    case .none: ""
    }
  }

  private static func prefix4(_ address: String) -> String {
    let parts = address.split(separator: ".", omittingEmptySubsequences: false)
    guard parts.count == 4, parts.allSatisfy({ UInt8($0) != nil }) else { return "" }
    return parts[0] + "." + parts[1] + "." + parts[2] + ".0/24"
  }

  private static func prefix6(_ address: String) -> String {
    let halves = address.split(separator: "::", maxSplits: 1, omittingEmptySubsequences: false)
    guard let first = halves.first else { return "" }
    var groups = first.split(separator: ":")
    guard groups.allSatisfy({ UInt16($0, radix: 16) != nil }), groups.count <= 8, halves.count == 2 || groups.count == 8
    else { return "" }
    // What `::` stands for is zeros, for as long as the address is.
    let rest = halves.count == 2 ? halves[1].split(separator: ":") : []
    let zeros = max(0, 8 - groups.count - rest.count)
    groups += [Substring](repeating: "0", count: zeros) + rest
    guard groups.count == 8, groups.prefix(3).allSatisfy({ UInt16($0, radix: 16) != nil }) else { return "" }
    return groups.prefix(3).joined(separator: ":") + "::/48"
  }
}
