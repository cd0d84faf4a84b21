// How a script ends for want of what it reads.

/** Returns what a promise gives. Where it fails, the script ends with exit code 2 and one line: the error and `help`. */
export async function orEnd(promise, help = '') {
  try {
    return await promise;
  } catch (error) {
    console.error(`${error.message.replace(/\.$/, '')}. ${help}`.trim());
    process.exit(2);
  }
}
