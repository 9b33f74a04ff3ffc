import { cases } from './rope.cases.ts';
import { testKernel } from './testing/suite.ts';

testKernel('rope', cases);
