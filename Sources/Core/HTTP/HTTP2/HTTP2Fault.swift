/// Why an HTTP/2 request can't be taken. The connection goes on: only its stream ends.
package enum HTTP2Fault: Error, Equatable, Sendable {
  // Pseudo-fields (RFC 9113, 8.3).
  case pseudoFieldAfterField
  case repeatedPseudoField
  case unknownPseudoField
  case missingPseudoField
  case emptyPath
  case unknownScheme
  case authorityDiffersFromHost

  // Fields (RFC 9113, 8.2).
  case upperCaseName
  case spaceAroundValue
  case connectionSpecificField
  case unknownTransferCoding

  // Body and trailers (RFC 9113, 8.1).
  case lengthMismatch
  case pseudoFieldInTrailers

  /// What would be wrong with it as an HTTP/1.1 request too.
  case message(HTTP1Fault)

  /// The status for a request with this fault.
  package var status: Int {
    if case .message(let fault) = self { fault.status } else { 400 }
  }

  /// A stable word for logs and metric labels, in snake case.
  package var code: String {
    switch self {
    case .pseudoFieldAfterField: "pseudo_field_after_field"
    case .repeatedPseudoField: "repeated_pseudo_field"
    case .unknownPseudoField: "unknown_pseudo_field"
    case .missingPseudoField: "missing_pseudo_field"
    case .emptyPath: "empty_path"
    case .unknownScheme: "unknown_scheme"
    case .authorityDiffersFromHost: "authority_differs_from_host"
    case .upperCaseName: "upper_case_name"
    case .spaceAroundValue: "space_around_value"
    case .connectionSpecificField: "connection_specific_field"
    case .unknownTransferCoding: "unknown_te"
    case .lengthMismatch: "length_mismatch"
    case .pseudoFieldInTrailers: "pseudo_field_in_trailers"
    case .message(let fault): fault.rawValue
    }
  }
}

extension HTTP2Fault: CustomStringConvertible {
  /// One sentence for people. Holds no byte of the message.
  package var description: String {
    switch self {
    case .pseudoFieldAfterField: "a pseudo-field stands after a field"
    case .repeatedPseudoField: "a pseudo-field is given more than once"
    case .unknownPseudoField: "there is a pseudo-field that requests don't have"
    case .missingPseudoField: "one of :method, :scheme and :path is missing"
    case .emptyPath: "the :path is empty"
    case .unknownScheme: "the :scheme is neither http nor https"
    case .authorityDiffersFromHost: "the :authority and the Host field name different hosts"
    case .upperCaseName: "a field name holds a capital letter"
    case .spaceAroundValue: "a field value begins or ends with a space or a tab"
    case .connectionSpecificField: "there is a field that only HTTP/1.1 connections have"
    case .unknownTransferCoding: "the TE field holds something other than trailers"
    case .lengthMismatch: "the body is not as long as its Content-Length"
    case .pseudoFieldInTrailers: "the trailers hold a pseudo-field"
    case .message(let fault): fault.description
    }
  }
}
