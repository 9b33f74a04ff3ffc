/** What `--variant key=value,…` asks of kernels; each takes the keys it knows. */
export type VariantChoice = Readonly<Record<string, string>>;
