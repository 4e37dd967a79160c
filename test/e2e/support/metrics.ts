/** A snapshot of /metrics. */
export class MetricsPage {
  readonly text: string
  readonly #samples: ReadonlyArray<{ name: string; labels: Readonly<Record<string, string>>; value: number }>

  constructor(text: string) {
    this.text = text
    this.#samples = text.split('\n').flatMap((line) => {
      const found = /^([a-z_]+)(?:\{(.*)\})? (\S+)$/.exec(line)
      if (found === null) return []
      const labels = [...(found[2] ?? '').matchAll(/(\w+)="((?:[^"\\]|\\.)*)"/g)]
      return [
        {
          name: found[1] ?? '',
          labels: Object.fromEntries(labels.map((label) => [label[1] ?? '', label[2] ?? ''])),
          value: Number(found[3]),
        },
      ]
    })
  }

  /** Sum of the samples with this name and at least these labels. Throws if the page has no sample of that name. */
  sum(name: string, labels: Readonly<Record<string, string>> = {}): number {
    const named = this.#samples.filter((sample) => sample.name === name)
    if (named.length === 0) throw new Error(`no metric ${name} in:\n${this.text}`)
    return named
      .filter((sample) => Object.entries(labels).every(([key, value]) => sample.labels[key] === value))
      .reduce((sum, sample) => sum + sample.value, 0)
  }

  /** The values of a label of this metric, each once. */
  labels(name: string, label: string): string[] {
    return [...new Set(this.#samples.flatMap((each) => (each.name === name ? [each.labels[label] ?? ''] : [])))]
  }

  /** All losses, as `reason(hook)=count`; empty if there are none. */
  losses(): string[] {
    return this.#samples
      .filter(({ name, value }) => name === 'ktrail_kernel_lost_events_total' && value > 0)
      .map(({ labels, value }) => `${labels['reason']}(${labels['hook']})=${value}`)
  }
}
