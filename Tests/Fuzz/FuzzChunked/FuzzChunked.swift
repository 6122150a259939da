import Bytes
import HTTP

/// Any bytes, as a chunked body:
/// - the payload and the end do not depend on how the bytes are cut;
/// - only the payload's own place in the input is written to;
/// - what is decoded, encoded again, decodes to itself.
@c(LLVMFuzzerTestOneInput)
func fuzzChunked(_ data: UnsafePointer<UInt8>?, _ size: Int) -> CInt {
  let input = Array(UnsafeBufferPointer(start: data, count: size))
  let whole = Outcome(input) { _ in input.count }
  var pieces = PieceLengths(seed: input)
  let cut = Outcome(input) { _ in pieces.next() }
  precondition(whole == cut, "the cut changes the result: \(whole) \(cut)")
  precondition(whole.payload.count <= input.count)
  if whole.isComplete { checkRoundTrip(whole.payload) }
  return 0
}

struct Outcome: Equatable {
  var payload: [UInt8] = []
  var consumed = 0
  var isComplete = false
  var ending = BodyDecoder.Ending.truncated
  var trailers: [String] = []
  var fault: HTTP1Error?

  init(_ input: [UInt8], pieceLength: (Int) -> Int) {
    let limits = HeadLimits(fields: 8, trailers: 128, chunkExtensions: 64)
    var decoder = BodyDecoder(framing: .chunked, side: .request, limits: limits)
    var offset = 0
    while offset < input.count, !isComplete, fault == nil {
      let end = min(offset + pieceLength(offset), input.count)
      take(Array(input[offset..<end]), at: offset, with: &decoder)
      offset = end
    }
    ending = decoder.inputClosed()
    precondition((ending == .complete) == isComplete)
    if let fields = decoder.trailers {
      trailers = fields.indices.map {
        "\(String(copying: fields.name(at: $0))): \(String(copying: fields.value(at: $0)))"
      }
    }
  }

  private mutating func take(_ piece: [UInt8], at offset: Int, with decoder: inout BodyDecoder) {
    // Bytes in front, as in a read buffer of which a part is already used.
    var bytes: [UInt8] = [0x55, 0x66] + piece
    do throws(HTTP1Error) {
      var span = bytes.mutableSpan
      let decoded = try decoder.decode(&span, from: 2)
      precondition(decoded.payload.lowerBound >= 2 && decoded.payload.upperBound <= decoded.consumedUpTo)
      precondition(decoded.isComplete || decoded.fault != nil || decoded.consumedUpTo == bytes.count)
      precondition(bytes[0] == 0x55 && bytes[1] == 0x66)
      precondition(bytes[decoded.consumedUpTo...].elementsEqual(piece[(decoded.consumedUpTo - 2)...]))
      payload += bytes[decoded.payload]
      consumed = offset + decoded.consumedUpTo - 2
      isComplete = decoded.isComplete
      fault = decoded.fault
    } catch {
      fault = error
    }
    // Where a faulty piece was left depends on the cut; it is never read on.
    if fault != nil { consumed = 0 }
  }
}

func checkRoundTrip(_ payload: [UInt8]) {
  var buffer = ByteBuffer()
  ChunkedEncoder.append(payload.span, to: &buffer)
  ChunkedEncoder.appendLast(to: &buffer)
  let encoded = buffer.toArray()
  let again = Outcome(encoded) { _ in encoded.count }
  precondition(again.isComplete && again.payload == payload && again.consumed == encoded.count)
}

/// Piece lengths from 1 to 16 that follow from the input, so that a crash can be repeated from its bytes alone.
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
