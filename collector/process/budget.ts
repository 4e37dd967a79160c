/**
 * The memory budget of the process table: images, their texts (shared texts count once), and the renderings that encoders cache with processes.
 * Images and texts may take seven eighths of the budget; renderings get the rest, at least an eighth.
 */
import type { Mutable } from '../wire/values.ts'
import type { Process } from '../../exporters/contract/event.ts'
import { PROCESS_FLAGS } from '../wire/flags.ts'
import type { Image, Texts } from './image.ts'
import { textBytes } from './image.ts'
import { Renderings } from '../../exporters/index.ts'
import { flagWords, own } from '../wire/text.ts'

/** An image's objects, table entry and start time (measured: test/bench/processes.bench.ts). */
const IMAGE_BYTES = 680
/** `:<ktime>:<pid>` in an exec id. */
const ID_BYTES = 28
const SHARE_OF_IMAGES = 7 / 8
/** An eviction continues down to this part of the share, so that it does not run for each new process. */
const LOW_WATER = 15 / 16

export interface Evictions {
  /** Processes whose renderings were evicted. */
  readonly renderings: number
  /** Argument texts that were cut. */
  readonly arguments: number
  /** Images that were evicted: their later events are of an unknown process. */
  readonly images: number
}

export class Budget {
  readonly renderings: Renderings
  readonly limitBytes: number
  readonly #imageBytes: number
  #images = 0
  #texts = 0
  #cut = 0
  /** Incremented by the table. */
  evictedImages = 0

  /** `imageBytes`: more for each image. */
  constructor(bytes: number, node: string, imageBytes = 0) {
    this.limitBytes = bytes
    this.#imageBytes = IMAGE_BYTES + imageBytes + Math.ceil((Buffer.byteLength(node) + ID_BYTES) / 3) * 4
    this.renderings = new Renderings(bytes)
  }

  /** Current bytes by kind. */
  get bytes(): { readonly images: number; readonly texts: number; readonly renderings: number } {
    return { images: this.#images * this.#imageBytes, texts: this.#texts, renderings: this.renderings.bytes }
  }

  get evictions(): Evictions {
    return { renderings: this.renderings.evicted, arguments: this.#cut, images: this.evictedImages }
  }

  /** Images and texts take more than their share. */
  get isFull(): boolean {
    return this.#used > this.limitBytes * SHARE_OF_IMAGES
  }

  /** Images and texts are below the low-water mark. */
  get hasRoom(): boolean {
    return this.#used <= this.limitBytes * SHARE_OF_IMAGES * LOW_WATER
  }

  get #used(): number {
    return this.#images * this.#imageBytes + this.#texts
  }

  /** Gives the rest of the budget to renderings. */
  settle(): void {
    this.renderings.limit = this.limitBytes - this.#used
  }

  /** Charges an image that enters the table. */
  enter(image: Image): void {
    this.#hold(image)
    if (image.parent !== undefined) this.#hold(image.parent)
    for (const each of image.above) this.#hold(each)
  }

  /** Releases an image that leaves the table, and its references to its parent and the images above. */
  leave(image: Image): void {
    const { parent, above } = image
    image.parent = undefined
    image.above = []
    for (const each of above) this.#release(each)
    if (parent !== undefined) this.#release(parent)
    this.#release(image)
  }

  #hold(image: Image): void {
    if (image.holders++ > 0) return
    this.#images++
    if (image.texts.users++ === 0) this.#texts += image.texts.bytes
    if (image.details !== undefined && image.details.users++ === 0) this.#texts += image.details.bytes
  }

  #release(image: Image): void {
    if (--image.holders > 0) return
    this.#images--
    if (--image.texts.users === 0) this.#texts -= image.texts.bytes
    if (image.details !== undefined && --image.details.users === 0) this.#texts -= image.details.bytes
    image.process.rendered.drop()
  }

  /** Cuts the arguments to `characters` and sets the flag for cut arguments. */
  cut(image: Image, characters: number): void {
    const process: Mutable<Process> = image.process
    if (process.arguments.length <= characters && process.argv.length <= characters) return
    this.#cutTexts(image.texts, characters)
    process.arguments = image.texts.arguments
    process.argv = image.texts.argv
    image.flags |= PROCESS_FLAGS.truncArgs
    process.flags = flagWords(image.flags)
    process.rendered.drop()
  }

  #cutTexts(texts: Texts, characters: number): void {
    const { arguments: words, argv } = texts
    if (words.length <= characters && argv.length <= characters) return
    texts.arguments = start(words, characters)
    texts.argv = start(argv, characters)
    const fewer = textBytes(words) - textBytes(texts.arguments) + textBytes(argv) - textBytes(texts.argv)
    texts.bytes -= fewer
    this.#texts -= fewer
    this.#cut++
  }
}

/** Never cuts a surrogate pair in half. */
function start(text: string, characters: number): string {
  return text.length <= characters ? text : own(text.slice(0, characters).toWellFormed())
}
