// Monaco measures its font once: with the fallback's width, the cursor would stand beside the text.
export const font = document.fonts.load('15px "Fira Code"').catch(() => undefined);
