/// What is wrong with a message. The raw value is the stable code for logs and metrics.
package enum HTTP1Fault: String, Error, Sendable, CaseIterable {
  // Start lines (RFC 9112 3, 4).
  case malformedRequestLine = "malformed_request_line"
  case requestLineTooLong = "request_line_too_long"
  case invalidMethod = "invalid_method"
  case methodTooLong = "method_too_long"
  case connectUnsupported = "connect_unsupported"
  case invalidTarget = "invalid_target"
  case malformedVersion = "malformed_version"
  case unsupportedVersion = "unsupported_version"
  case malformedStatusLine = "malformed_status_line"
  case invalidStatus = "invalid_status"

  // Lines and fields (RFC 9110 5, RFC 9112 2.2 and 5).
  case bareCarriageReturn = "bare_carriage_return"
  case bareLineFeed = "bare_line_feed"
  case controlCharacter = "control_character"
  case obsoleteFolding = "obsolete_folding"
  case whitespaceBeforeColon = "whitespace_before_colon"
  case missingColon = "missing_colon"
  case invalidFieldName = "invalid_field_name"
  case fieldNameTooLong = "field_name_too_long"
  case headTooLarge = "head_too_large"
  case tooManyFields = "too_many_fields"

  // Meaning of fields.
  case missingHost = "missing_host"
  case repeatedHost = "repeated_host"
  case invalidHost = "invalid_host"
  case unknownExpectation = "unknown_expectation"
  case protectedFieldNominated = "protected_field_nominated"
  case tooManyConnectionOptions = "too_many_connection_options"

  // Body framing (RFC 9112 6).
  case contentLengthWithTransferEncoding = "content_length_with_transfer_encoding"
  case repeatedContentLength = "repeated_content_length"
  case malformedContentLength = "malformed_content_length"
  case contentLengthTooLarge = "content_length_too_large"
  case repeatedTransferEncoding = "repeated_transfer_encoding"
  case malformedTransferEncoding = "malformed_transfer_encoding"
  case unsupportedTransferCoding = "unsupported_transfer_coding"
  case transferEncodingInHTTP10 = "transfer_encoding_in_http_1_0"

  // Chunked bodies (RFC 9112 7.1).
  case malformedChunkSize = "malformed_chunk_size"
  case chunkTooLarge = "chunk_too_large"
  case malformedChunkEnd = "malformed_chunk_end"
  case chunkExtensionsTooLarge = "chunk_extensions_too_large"
  case trailersTooLarge = "trailers_too_large"

  // Sequences of responses (RFC 9110 15.2).
  case unrequestedUpgrade = "unrequested_upgrade"
  case tooManyInformationalResponses = "too_many_informational_responses"

  /// The status for a request with this fault.
  package var status: Int {
    switch self {
    case .contentLengthTooLarge, .chunkTooLarge, .chunkExtensionsTooLarge: 413
    case .requestLineTooLong: 414
    case .unknownExpectation: 417
    case .headTooLarge, .tooManyFields, .fieldNameTooLong, .trailersTooLarge: 431
    case .connectUnsupported, .unsupportedTransferCoding, .methodTooLong: 501
    case .unsupportedVersion: 505
    default: 400
    }
  }
}

extension HTTP1Fault: CustomStringConvertible {
  package var description: String {
    startLineDescription ?? fieldDescription ?? framingDescription ?? bodyDescription ?? rawValue
  }

  private var startLineDescription: String? {
    switch self {
    case .malformedRequestLine: "the request line is not method, space, target, space, version"
    case .requestLineTooLong: "the request line is longer than allowed"
    case .invalidMethod: "the method is not a token"
    case .methodTooLong: "the method is longer than \(Method.maximumLength) bytes"
    case .connectUnsupported: "CONNECT is not offered here"
    case .invalidTarget: "the request target is not a path, an http(s) URL or an asterisk"
    case .malformedVersion: "the protocol version is malformed"
    case .unsupportedVersion: "the protocol version is neither HTTP/1.0 nor HTTP/1.1"
    case .malformedStatusLine: "the status line is not version, space, status, space, reason"
    case .invalidStatus: "the status is not a number from 100 to 599"
    default: nil
    }
  }

  private var fieldDescription: String? {
    switch self {
    case .bareCarriageReturn: "a carriage return stands without its line feed"
    case .bareLineFeed: "a line ends with a line feed alone"
    case .controlCharacter: "the head holds a control character"
    case .obsoleteFolding: "a field is continued on a second line"
    case .whitespaceBeforeColon: "whitespace stands between a field's name and its colon"
    case .missingColon: "a field line has no colon"
    case .invalidFieldName: "a field name is not a token"
    case .fieldNameTooLong: "a field name is longer than \(FieldName.maximumLength) bytes"
    case .headTooLarge: "the head is larger than allowed"
    case .tooManyFields: "the head has more fields than allowed"
    case .missingHost: "the Host field is missing"
    case .repeatedHost: "there is more than one Host field"
    case .invalidHost: "the Host field is not a host with an optional port"
    case .unknownExpectation: "the Expect field asks for something unknown"
    case .protectedFieldNominated: "the Connection field names a field that must not be removed"
    case .tooManyConnectionOptions: "the Connection field has too many options"
    default: nil
    }
  }

  private var framingDescription: String? {
    switch self {
    case .contentLengthWithTransferEncoding: "both Content-Length and Transfer-Encoding are given"
    case .repeatedContentLength: "there is more than one Content-Length field"
    case .malformedContentLength: "the Content-Length is not a plain number"
    case .contentLengthTooLarge: "the Content-Length is beyond any possible length"
    case .repeatedTransferEncoding: "there is more than one Transfer-Encoding field"
    case .malformedTransferEncoding: "the Transfer-Encoding is malformed"
    case .unsupportedTransferCoding: "the Transfer-Encoding is not chunked alone"
    case .transferEncodingInHTTP10: "an HTTP/1.0 message has a Transfer-Encoding"
    default: nil
    }
  }

  private var bodyDescription: String? {
    switch self {
    case .malformedChunkSize: "a chunk size is not plain hexadecimal digits"
    case .chunkTooLarge: "a chunk size has more than \(BodyDecoder.maximumChunkSizeDigits) digits"
    case .malformedChunkEnd: "a chunk is not followed by CRLF"
    case .chunkExtensionsTooLarge: "the chunk extensions are larger than allowed"
    case .trailersTooLarge: "the trailer section is larger than allowed"
    case .unrequestedUpgrade: "the upstream switched protocols without being asked"
    case .tooManyInformationalResponses: "the upstream sent too many 1xx responses"
    default: nil
    }
  }
}
