/** Values of messages of Tetragon's records. Imports nothing. */

/** A bigint is a text in JSON, a list one of names, a map an object. */
export type MemberValue = string | number | bigint | boolean | readonly string[] | Members

/** Of a message, in the order of the record. */
export type Members = ReadonlyMap<string, MemberValue>

/** By their keys in Tetragon's records. Processes share them. */
export interface ProcessDetails {
  readonly cap?: Members
  readonly ns?: Members
  readonly process_credentials?: Members
  readonly user?: Members
}
