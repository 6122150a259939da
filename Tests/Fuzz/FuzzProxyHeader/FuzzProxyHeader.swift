import Bytes
import Loop
import Sockets

/// Any bytes, as a load balancer might put them in front of a connection, for each version:
/// - nothing traps, and no more is taken than there is, or than a header may have;
/// - the result does not depend on how the bytes are cut;
/// - what both versions take is nothing: they are never confused.
@c(LLVMFuzzerTestOneInput)
func fuzzProxyHeader(_ data: UnsafePointer<UInt8>?, _ size: Int) -> CInt {
  let input = Array(UnsafeBufferPointer(start: data, count: size))
  var taken = 0
  for version in [ProxyHeaderParser.Version.v1, .v2] {
    let whole = Outcome(input, version) { _ in input.count }
    var pieces = PieceLengths(seed: input)
    let cut = Outcome(input, version) { _ in pieces.next() }
    precondition(whole == cut, "the cut changes the result: \(whole) \(cut)")
    guard case .source(_, let length) = whole else { continue }
    precondition(length <= (version == .v1 ? ProxyHeaderParser.longestLine : ProxyHeaderParser.longestBlock))
    taken += 1
  }
  precondition(taken < 2, "both versions take it")
  return 0
}

enum Outcome: Equatable {
  case source(ProxySource, length: Int)
  case fault(ProxyHeaderFault)
  case needMore

  init(_ input: [UInt8], _ version: ProxyHeaderParser.Version, pieceLength: (Int) -> Int) {
    var parser = ProxyHeaderParser(version)
    var offset = 0
    do throws(ProxyHeaderFault) {
      while offset < input.count {
        let end = min(offset + pieceLength(offset), input.count)
        let piece = input.span.extracting(offset..<end)
        if case .complete(let source, let consumed) = try parser.parse(piece) {
          precondition(consumed > 0 && consumed <= end - offset)
          self = .source(source, length: offset + consumed)
          return
        }
        offset = end
      }
      self = .needMore
    } catch {
      self = .fault(error)
    }
  }
}

struct PieceLengths {
  private var state: UInt64

  init(seed: [UInt8]) {
    state = seed.reduce(0xCBF2_9CE4_8422_2325) { ($0 ^ UInt64($1)) &* 0x100_0000_01B3 }
  }

  mutating func next() -> Int {
    state = state &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
    return Int(state >> 60) + 1
  }
}
