/** Values of messages of Tetragon's records. Imports nothing. */

/** A bigint is a text in JSON, a list one of names, a map an object. */
export type MemberValue = string | number | bigint | boolean | readonly string[] | Members

/** Members of a message, in the order of the record. */
export type Members = ReadonlyMap<string, MemberValue>

/** By their keys in Tetragon's records. Processes share them. */
export interface ProcessDetails {
  readonly cap?: Members
  readonly ns?: Members
  readonly process_credentials?: Members
  readonly user?: Members
}

/** Data of a process that only the event of its exec has; other events of the process have less. */
export interface Executed {
  /** In full; those of the process are cut. */
  readonly arguments?: string
  /** Instead of the process's. */
  readonly flags?: string
  readonly environment?: ReadonlyArray<readonly [name: string, value: string]>
  /** Changes by the file of the exec: members of `binary_properties`. */
  readonly raised?: Members
}
