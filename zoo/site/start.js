// The last of the scripts: everything that it calls is there.

speak(firstLanguage());
compareRegistry();
