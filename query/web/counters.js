// What a server counts, read from `/metrics`: the text format of Prometheus, as far as this server writes it.

/** The samples of a text by the name of their series: `{labels, value}` each. */
export function parseCounters(text) {
  const series = new Map();
  for (const line of text.split("\n")) {
    const found = /^([a-zA-Z_:][\w:]*)(?:\{(.*)\})? (\S+)$/.exec(line);
    if (!found) continue;
    const labels = {};
    for (const [, name, value] of (found[2] ?? "").matchAll(/(\w+)="((?:[^"\\]|\\.)*)"/g)) labels[name] = value.replace(/\\(.)/g, "$1");
    const value = found[3] === "+Inf" ? Infinity : Number(found[3]);
    if (!series.has(found[1])) series.set(found[1], []);
    series.get(found[1]).push({ labels, value });
  }
  return series;
}

/** The sum of a series over the samples with these labels; none where nothing is counted under that name. */
export function sum(series, name, wanted = {}) {
  const samples = series.get(name)?.filter(({ labels }) => fits(labels, wanted));
  return samples ? samples.reduce((all, { value }) => all + value, 0) : null;
}

/** The samples of a series that are not 0, as label and value, the largest first. */
export function parts(series, name, label) {
  const samples = (series.get(name) ?? []).filter(({ value }) => value > 0);
  return samples.map(({ labels, value }) => [labels[label], value]).sort((a, b) => b[1] - a[1]);
}

/** Below which so large a share of what a histogram holds lies, in seconds, as Prometheus works it out; none where it is empty. */
export function quantile(series, name, share, wanted = {}) {
  const bounds = new Map();
  for (const { labels, value } of series.get(`${name}_bucket`) ?? []) {
    if (!fits(labels, wanted)) continue;
    const bound = labels.le === "+Inf" ? Infinity : Number(labels.le);
    bounds.set(bound, (bounds.get(bound) ?? 0) + value);
  }
  const buckets = [...bounds].sort(([a], [b]) => a - b);
  const total = buckets.at(-1)?.[1] ?? 0;
  if (!total) return null;
  let [from, below] = [0, 0];
  for (const [bound, count] of buckets) {
    if (count >= share * total) {
      return bound === Infinity ? from : from + ((bound - from) * (share * total - below)) / Math.max(count - below, 1);
    }
    [from, below] = [bound, count];
  }
  return from;
}

function fits(labels, wanted) {
  return Object.entries(wanted).every(([name, value]) => labels[name] === value);
}
