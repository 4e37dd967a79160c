/**
 * Containers that a hook of their runtime announced (`ktrail oci-hook`, Tetragon's hook): known before their first program runs, long before
 * the API server reports them.
 *
 * Constraints: the call of the hook holds up the container's start, so it is answered as soon as all listeners are done. The facts
 * of a container are bounded in bytes, and the containers in number. No hook announces a container's end: the last announced ones stay.
 */
import type { Container } from '../../exporters/contract/event.ts'
import { putNewest } from '../host/newest.ts'
import { own } from '../wire/text.ts'
import { SHORT_ID } from './pods.ts'

/** More containers than a node runs at a time. */
const MOST = 4096
const MAX_NAME = 256
const MAX_PATH = 4096
const ID = /^[0-9a-f]{64}$/

/** Fields of Tetragon's CreateContainer. Newer hooks of Tetragon fill in fields that older ones leave to the annotations. */
export interface Announcement {
  readonly containerID: string
  readonly cgroupsPath: string
  readonly annotations: Readonly<Record<string, string>>
  readonly containerName: string
  readonly containerImage: string
  readonly podUID: string
}

export interface Announced {
  /** 64 characters. */
  readonly id: string
  /** The cgroup of its first process, below that of the host; empty if the hook did not know. */
  readonly cgroup: string
  /** Empty outside of pods. */
  readonly podUid: string
  /** undefined for the pause container of a pod. */
  readonly container: Container | undefined
}

export type AnnouncedListener = (announced: Announced) => void | Promise<void>

export class Announcements {
  readonly #known = new Map<string, Announced>()
  readonly #listeners: AnnouncedListener[] = []

  /** The container starts when `listener` is done. */
  listen(listener: AnnouncedListener): void {
    this.#listeners.push(listener)
  }

  /** By short id. */
  get(shortId: string): Announced | undefined {
    return this.#known.get(shortId)
  }

  /** False: no cgroup is named after such an id, so its processes will not be recognized. */
  async add(announcement: Announcement): Promise<boolean> {
    if (!ID.test(announcement.containerID)) return false
    const announced = read(announcement)
    const shortId = announced.id.slice(0, SHORT_ID)
    putNewest(this.#known, shortId, announced, MOST)
    await Promise.all(this.#listeners.map((listener) => listener(announced)))
    return true
  }
}

/** Annotations of containerd's CRI, and of CRI-O. */
const KEYS = {
  kind: ['io.kubernetes.cri.container-type', 'io.kubernetes.cri-o.ContainerType'],
  name: ['io.kubernetes.cri.container-name', 'io.kubernetes.container.name'],
  image: ['io.kubernetes.cri.image-name', 'io.kubernetes.cri-o.ImageName'],
  podUid: ['io.kubernetes.cri.sandbox-uid', 'io.kubernetes.pod.uid'],
} as const

function read({ containerID, cgroupsPath, annotations, ...given }: Announcement): Announced {
  const of = (key: keyof typeof KEYS, first = ''): string => {
    const found = KEYS[key].find((name) => Object.hasOwn(annotations, name))
    return own((first || (found === undefined ? '' : (annotations[found] ?? ''))).slice(0, MAX_NAME))
  }
  const runtime = Object.keys(annotations).some((key) => key.startsWith('io.kubernetes.cri-o.'))
    ? 'cri-o'
    : 'containerd'
  const container = {
    id: `${runtime}://${containerID}`,
    name: of('name', given.containerName),
    image: of('image', given.containerImage),
    imageId: '',
    privileged: false,
  }
  return {
    id: containerID,
    cgroup: own(cgroupsPath.slice(0, MAX_PATH)),
    podUid: of('podUid', given.podUID),
    container: of('kind') === 'sandbox' || container.name === '' ? undefined : container,
  }
}
