/** The sixteen levels of NF4 (Dettmers et al. 2023, appendix E), rounded: the page's one ornament. */
export const NF4_LEVELS: readonly number[] = [
  -1, -0.6962, -0.5251, -0.3949, -0.2844, -0.1848, -0.0911, 0, 0.0796, 0.1609, 0.2461, 0.3379, 0.4407, 0.5626, 0.723, 1,
];
