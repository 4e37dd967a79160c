/**
 * Finds texts that contain one of some values. The kernel walks a table with one look-up a byte, for any number of values
 * (Aho and Corasick, "Efficient string matching", 1975). A row has the next state for each byte.
 */
import { AUTOMATON_FOUND } from '../../wire/wire.ts'

const BYTES = 256

interface Node {
  readonly children: Map<number, Node>
  /** A value ends here, or in one of its fallbacks. */
  found: boolean
  /** The longest beginning of a value that ends like this one. */
  fallback: Node | undefined
  state: number
}

const newNode = (): Node => ({ children: new Map(), found: false, fallback: undefined, state: 0 })

const lower = (byte: number): number => (byte >= 0x41 && byte <= 0x5a ? byte + 0x20 : byte)

/** The rows of the states from `first` on, where a search begins. `ignoreCase`: of ASCII letters. */
export function automaton(values: readonly Buffer[], ignoreCase: boolean, first: number): Uint16Array[] {
  const root = newNode()
  for (const value of values) {
    let node = root
    for (const byte of value) {
      const by = ignoreCase ? lower(byte) : byte
      const child = node.children.get(by) ?? newNode()
      node.children.set(by, child)
      node = child
    }
    node.found = true
  }
  const nodes = inOrder(root).filter(({ found }) => !found)
  nodes.forEach((node, i) => (node.state = first + i))
  const last = first + nodes.length
  if (last >= AUTOMATON_FOUND)
    throw new Error(`SubString: the values of one program need ${last} states: split the policy`)
  return nodes.map((node) => {
    const row = new Uint16Array(BYTES)
    for (let byte = 0; byte < BYTES; byte++) {
      const to = next(node, ignoreCase ? lower(byte) : byte)
      row[byte] = to.found ? AUTOMATON_FOUND : to.state
    }
    return row
  })
}

/** All nodes, the shorter beginnings first, with their fallbacks. */
function inOrder(root: Node): Node[] {
  const nodes = [root]
  for (const node of nodes) {
    for (const [byte, child] of node.children) {
      child.fallback = node.fallback === undefined ? root : next(node.fallback, byte)
      child.found ||= child.fallback.found
      nodes.push(child)
    }
  }
  return nodes
}

function next(from: Node, byte: number): Node {
  for (let node: Node | undefined = from; node !== undefined; node = node.fallback) {
    const child = node.children.get(byte)
    if (child !== undefined) return child
    if (node.fallback === undefined) return node
  }
  return from
}
