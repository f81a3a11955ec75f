// Owns the meeting page in headless Firefox with fake devices: the shared scenarios.
import { pageTests } from './scenarios/page.mjs';

pageTests('firefox');
