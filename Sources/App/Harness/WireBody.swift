/// Takes the body out of a message's bytes as they come.
package struct WireBody: Sendable {
  package enum Framing: Sendable, Equatable {
    case length(Int)
    case chunked
    case untilClose
  }

  package enum State: Sendable, Equatable {
    case open
    case complete
    /// The framing is broken; says how.
    case broken(String)
  }

  private enum ChunkPart {
    case size
    case data
    /// The line ending behind a chunk's data.
    case dataEnd
    case trailer
  }

  /// The most bytes of a line of framing.
  private static let lineLimit = 4096

  package private(set) var state: State
  private let framing: Framing
  /// Bytes missing to the end of the chunk or of the body.
  private var rest = 0
  private var part = ChunkPart.size
  private var line: [UInt8] = []

  package init(_ framing: Framing) {
    self.framing = framing
    if case .length(let length) = framing { rest = length }
    state = framing == .length(0) ? .complete : .open
  }

  /// Whether the end of the connection is a proper end of this body.
  package var mayEndByClose: Bool { framing == .untilClose || state == .complete }

  /// Appends the body's bytes in `input` to `body`, and returns how many bytes of `input` belong to this message.
  package mutating func take(_ input: ArraySlice<UInt8>, into body: inout [UInt8]) -> Int {
    guard state == .open else { return 0 }
    switch framing {
    case .untilClose:
      body += input
      return input.count
    case .length:
      let count = takeData(input, into: &body)
      if rest == 0 { state = .complete }
      return count
    case .chunked:
      return takeChunks(input, into: &body)
    }
  }

  private mutating func takeData(_ input: ArraySlice<UInt8>, into body: inout [UInt8]) -> Int {
    let taken = input.prefix(rest)
    body += taken
    rest -= taken.count
    return taken.count
  }

  private mutating func takeChunks(_ input: ArraySlice<UInt8>, into body: inout [UInt8]) -> Int {
    var index = input.startIndex
    while index < input.endIndex, state == .open {
      if part == .data {
        index += takeData(input[index...], into: &body)
        if rest == 0 { part = .dataEnd }
        continue
      }
      line.append(input[index])
      index += 1
      if line.last == 0x0A {
        takeLine()
        line.removeAll(keepingCapacity: true)
      } else if line.count > Self.lineLimit {
        state = .broken("a line of framing without an end")
      }
    }
    return index - input.startIndex
  }

  private mutating func takeLine() {
    guard line.count >= 2, line[line.count - 2] == 0x0D else {
      state = .broken("a bare line feed")
      return
    }
    let text = String(decoding: line.dropLast(2), as: UTF8.self)
    switch part {
    case .data: break
    case .size:
      guard let size = Int(text.prefix { $0 != ";" }, radix: 16), size >= 0 else {
        state = .broken("a bad chunk size")
        return
      }
      rest = size
      part = size == 0 ? .trailer : .data
    case .dataEnd:
      if text.isEmpty { part = .size } else { state = .broken("a chunk longer than its size") }
    case .trailer:
      if text.isEmpty { state = .complete }
    }
  }
}
