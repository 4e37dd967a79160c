/** Constants for the code that an object needs: the addon removes the rest. */
import type { HookSpec } from '../../../config/policy/policy.ts'
import { u32 } from '../../wire/bytes.ts'
import { RECORD_AT } from '../../wire/wire.ts'
import type { Constants } from '../objects.ts'
import { asksOfFiles, recordRoom, searchesPaths, writesOtherPaths } from './hook.ts'
import { asksOfChanges, identityFiltersOf } from './selector.ts'

const NETWORK = ['sock', 'socket', 'skb', 'sockaddr', 'netDevice'] as const

type Functions = ReadonlyArray<{ readonly hooks: ReadonlyArray<{ readonly spec: HookSpec }> }>

/** The constants for the functions of an object. */
export function knobsOf(functions: Functions): Constants & { readonly scratch_bytes: Buffer } {
  const specs = functions.flatMap(({ hooks }) => hooks.map(({ spec }) => spec))
  const args = specs.flatMap((spec) => spec.args)
  const reads = new Set(args.map(({ type }) => type.read))
  const rooms = functions.map(({ hooks }) => recordRoom(hooks.map(({ spec }) => spec)))
  return {
    // bpf/args/socket.h
    asks_network: u32(reads.has('sockaddrUn') ? 2 : NETWORK.some((read) => reads.has(read)) ? 1 : 0),
    asks_members: u32(args.some(({ places, size }) => places !== undefined && size === undefined) ? 1 : 0),
    asks_changes: u32(specs.some(({ selectors }) => selectors.some(asksOfChanges)) ? 1 : 0),
    // bpf/args/bytes.h
    asks_bytes: u32(args.some(({ maxData }) => maxData) ? 2 : args.some(({ type }) => type.kind === 'bytes') ? 1 : 0),
    asks_details: u32(specs.some(({ fileDetails }) => fileDetails !== undefined) ? 1 : 0),
    // bpf/call/screen.h
    asks_parts: u32(specs.some(searchesPaths) ? 1 : 0),
    // bpf/args/file.h
    asks_paths: u32(functions.some(({ hooks }) => writesOtherPaths(hooks.map(({ spec }) => spec))) ? 1 : 0),
    // bpf/frame/identity.h
    asks_files: u32(functions.some(({ hooks }) => hooks.some(asksOfFiles)) ? 1 : 0),
    asks_sticky: u32(specs.flatMap(identityFiltersOf).some(({ sticky }) => sticky) ? 1 : 0),
    // bpf/frame/scratch.h: the most that a function needs
    record_texts: u32(Math.max(...rooms.map(({ texts }) => texts))),
    scratch_bytes: u32(RECORD_AT + Math.max(...rooms.map(({ bytes }) => bytes))),
  }
}
