/** A container by its runtime, such as Docker, instead of Kubernetes. Shared by all processes in it. */
export interface NamedContainer {
  /** 64 characters. */
  readonly id: string
  readonly name: string
  /** As it was requested: `nginx:1.27`. */
  readonly image: string
  /** `sha256:…`, or the image's name with its digest. */
  readonly imageId: string
  /** The labels that the config requests. */
  readonly labels: Readonly<Record<string, string>>
}
